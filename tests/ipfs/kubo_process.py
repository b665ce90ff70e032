"""A real Kubo in a process of its own: the library in the wheel of requirements-kubo.lock, told what to do line by line.

    python kubo_process.py LIBRARY REPO

It says {"peer_id": ...} when it runs, and to each line of standard input, {"connect": multiaddr} or {"download": cid, "to": path},
whether it did so: {"ok": bool}. It knows no bootstrap and no routing, and ends with its standard input.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path


def main(library: str, repo: Path) -> None:
    kubo = ctypes.CDLL(library)
    kubo.GetNodeID.restype = ctypes.c_char_p
    folder = str(repo).encode()
    kubo.CreateRepo(folder)
    config = json.loads((repo / "config").read_text("utf-8"))
    config["Addresses"]["Swarm"] = ["/ip4/127.0.0.1/tcp/0"]
    config["Bootstrap"] = []
    config["Discovery"]["MDNS"]["Enabled"] = False
    config["Routing"]["Type"] = "none"
    (repo / "config").write_text(json.dumps(config), "utf-8")
    kubo.RunNode(folder)
    _say({"peer_id": kubo.GetNodeID(folder).decode()})
    for line in sys.stdin:
        order = json.loads(line)
        if "connect" in order:
            _say({"ok": kubo.ConnectToPeer(folder, order["connect"].encode()) == 0})
        else:
            _say({"ok": kubo.Download(folder, order["download"].encode(), order["to"].encode()) == 0})


def _say(word: dict[str, object]) -> None:
    print(json.dumps(word), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

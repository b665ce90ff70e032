"""The private swarm's key, and the script that configures Kubo (run for real, with an `ipfs` that writes down what it is asked)."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from defedbio.errors import InvalidInput
from defedbio.ipfs.swarm_key import main, swarm_key, write_swarm_key

SCRIPT = Path(__file__).parents[2] / "ipfs" / "kubo" / "configure.sh"
PEER = "12D3KooWD3f8rMKF2sYEn3xVi9HrHGAWhLAa6sA5ciL8Ji36sSbS"


def test_the_key_has_libp2ps_form() -> None:
    assert swarm_key(lambda size: bytes(range(size))) == "/key/swarm/psk/1.0.0/\n/base16/\n" + bytes(range(32)).hex() + "\n"
    assert swarm_key() != swarm_key()


def test_the_key_is_for_its_owner_and_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "swarm.key"
    assert main([str(path)]) == 0
    written = path.read_text(encoding="ascii")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert written.splitlines()[2] not in capsys.readouterr().out, "the key itself is not shown"
    with pytest.raises(InvalidInput, match="exists"):
        write_swarm_key(path)
    assert main([str(path)]) == 2
    assert main([]) == 2
    assert path.read_text(encoding="ascii") == written


class Configured:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repo = folder / "repo"
        self.key = folder / "swarm.key"
        write_swarm_key(self.key)
        fake = folder / "bin" / "ipfs"
        fake.parent.mkdir()
        fake.write_text(
            '#!/bin/sh\n[ "$3" = "AutoTLS.Enabled" ] && exit 1\n'
            'printf "%s\\n" "$*" >> "$CALLS"\n[ "$1" = init ] && : > "$IPFS_PATH/config"\nexit 0\n',
            encoding="ascii",
        )
        fake.chmod(0o755)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "IPFS_PATH": str(self.repo),
            "CALLS": str(self.folder / "calls"),
        }
        return subprocess.run(["sh", str(SCRIPT), *arguments], env=environment, capture_output=True, text=True, timeout=30, check=False)

    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text(encoding="ascii").splitlines()

    def settings(self) -> dict[str, object]:
        lines = [line.split(" ", 3) for line in self.calls() if line.startswith("config --json ")]
        return {name: json.loads(value) for _, _, name, value in lines}


@pytest.fixture
def kubo(tmp_path: Path) -> Configured:
    return Configured(tmp_path)


class TestConfigure:
    def test_the_swarm_is_private_and_the_rpc_local(self, kubo: Configured) -> None:
        ended = kubo.run(str(kubo.key), "--announce", "/dns4/ipfs.example/tcp/4001", "--peer", f"/ip4/10.0.0.2/tcp/4001/p2p/{PEER}")
        assert ended.returncode == 0, ended.stderr
        settings = kubo.settings()
        assert settings["Addresses.API"] == "/ip4/127.0.0.1/tcp/5001"
        assert settings["API.HTTPHeaders"] == {}
        assert settings["Routing.Type"] == "none"
        assert settings["AutoConf.Enabled"] is False
        assert settings["Discovery.MDNS.Enabled"] is False
        assert settings["Addresses.Announce"] == ["/dns4/ipfs.example/tcp/4001"]
        assert settings["Peering.Peers"] == [{"ID": PEER, "Addrs": ["/ip4/10.0.0.2/tcp/4001"]}]
        assert settings["Import.UnixFSChunker"] == "size-262144"
        assert settings["Import.UnixFSFileMaxLinks"] == 174
        assert "bootstrap rm --all" in kubo.calls()
        assert "this Kubo has no AutoTLS.Enabled" in ended.stderr
        installed = kubo.repo / "swarm.key"
        assert installed.read_bytes() == kubo.key.read_bytes()
        assert stat.S_IMODE(installed.stat().st_mode) == 0o600

    def test_a_second_run_keeps_the_repository(self, kubo: Configured) -> None:
        assert kubo.run(str(kubo.key)).returncode == 0
        assert kubo.run(str(kubo.key), "--storage", "10GB").returncode == 0
        assert sum(call.startswith("init") for call in kubo.calls()) == 1
        assert kubo.settings()["Datastore.StorageMax"] == "10GB"

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            ([], "swarm key file"),
            (["KEY", "--peer", "/ip4/10.0.0.2/tcp/4001"], "does not end in /p2p/"),
            (["KEY", "--listen"], "--listen needs a value"),
            (["KEY", "--announce", '/ip4/1.2.3.4"]'], "a quote or backslash"),
            (["KEY", "--nonsense", "x"], "unknown option"),
            (["/dev/null"], "swarm key"),
        ],
    )
    def test_bad_arguments_change_nothing(self, kubo: Configured, arguments: list[str], reason: str) -> None:
        ended = kubo.run(*[str(kubo.key) if argument == "KEY" else argument for argument in arguments])
        assert ended.returncode == 2
        assert reason in ended.stderr
        assert not kubo.repo.exists()

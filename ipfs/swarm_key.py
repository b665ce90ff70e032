"""Makes the key of a private IPFS swarm: `python -m defedbio.ipfs.swarm_key FILE`."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from defedbio.errors import DefedError, InvalidInput

KEY_BYTES = 32


def swarm_key(rand: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """The text of a new swarm.key file (libp2p pre-shared key, version 1.0.0, 256 bits)."""
    return f"/key/swarm/psk/1.0.0/\n/base16/\n{rand(KEY_BYTES).hex()}\n"


def write_swarm_key(path: Path) -> None:
    """Writes a new key that its owner alone can read; InvalidInput when the file exists or its folder does not."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise InvalidInput(f"{path} exists", "a swarm has one key; remove the file to make another") from error
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(swarm_key())


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m defedbio.ipfs.swarm_key FILE", file=sys.stderr)
        return 2
    try:
        write_swarm_key(Path(arguments[0]))
    except DefedError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"wrote {arguments[0]}; hand it to the other members on a confidential channel")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

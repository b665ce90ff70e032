"""An organisation's transport key in its home: X25519, encrypted under the operator's password. Key shares are sealed to it."""

from __future__ import annotations

import os
from typing import Any

from defedbio.crypto.sealing import generate_transport_key
from defedbio.crypto.vault import open_with_password, seal_with_password
from defedbio.errors import NotFound
from defedbio.network.connection import Connection

TRANSPORT_LABEL = "defedbio-transport/1"


def new_transport_key(password: str) -> dict[str, Any]:
    """The document of a fresh key. Raises InvalidInput for an empty password."""
    private, public = generate_transport_key(os.urandom)
    box = seal_with_password(private, password, TRANSPORT_LABEL, os.urandom)
    return {"format": TRANSPORT_LABEL, "public": public.hex(), "box": box}


def published_transport_key(connection: Connection, account: str) -> str:
    """The public key in the account's profile, 64 hexadecimal digits; "" if it published none."""
    try:
        return connection.registry.profile_of(account).transport_key.hex()
    except NotFound:
        return ""


def private_transport_key(document: dict[str, Any], password: str) -> bytes:
    """Raises WrongPassword, InvalidKey as they come."""
    return open_with_password(document["box"], password, TRANSPORT_LABEL)

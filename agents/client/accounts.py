"""Who this organisation is: its account, its transport key, and the profile it publishes."""

from __future__ import annotations

from dataclasses import dataclass

from defedbio.chain.accounts import create_keystore
from defedbio.chain.values import Profile
from defedbio.client.session import Session
from defedbio.client.values import Value
from defedbio.config import write_private
from defedbio.crypto.merkle import keccak256
from defedbio.errors import InvalidInput

MIN_PASSWORD = 8


@dataclass(frozen=True)
class Account(Value):
    """`transport_key` is the public one, 64 hexadecimal digits."""

    address: str
    transport_key: str


@dataclass(frozen=True)
class NewAccount(Account):
    """`keystore` is the file of the account, encrypted."""

    keystore: str


@dataclass(frozen=True)
class Registration(Value):
    """A published profile. `member` is False until the members admitted the organisation; `tx` and `gas` are the transaction's."""

    address: str
    multiaddr: str
    member: bool
    gas: int
    tx: str


class Accounts:
    def __init__(self, session: Session) -> None:
        self._session = session

    def new(self) -> NewAccount:
        """Create the account and the transport key, both encrypted with the client's password.

        Raises:
            InvalidInput: if the folder has one of them already, or the password is shorter than 8 characters.

        Example:
            Client(password_file="password").account.new().address
        """
        from defedbio.network.transport import new_transport_key

        home = self._session.home
        for path in (home.account, home.transport):
            if path.exists():
                raise InvalidInput(f"{path} exists already", "an organisation has one account a folder; use another --home for another")
        password = self._session.read_password(confirm=True)
        if len(password) < MIN_PASSWORD:
            raise InvalidInput(f"the password must have at least {MIN_PASSWORD} characters")
        document = new_transport_key(password)
        write_private(home.transport, document)
        return NewAccount(create_keystore(home.account, password), str(document["public"]), str(home.account))

    def show(self) -> Account:
        """The account's address and the public transport key. Needs no password.

        Raises:
            NotFound: if there is none yet.

        Example:
            client.account.show().transport_key
        """
        return Account(self._session.own_address(), self._session.transport_public())


def register(session: Session, name: str, multiaddr: str, metadata: str) -> Registration:
    """See Client.register."""
    public = bytes.fromhex(session.transport_public())
    address = multiaddr or next(iter(session.store.identity().multiaddrs), "")
    profile = Profile(name, metadata, public, address)
    with session.signing() as connection:
        own = connection.client.address
        head = connection.client.head().number
        fingerprint = keccak256(f"{name}|{metadata}|{public.hex()}|{address}|{head}".encode()).hex()
        receipt = connection.send(connection.registry.register(f"register/{fingerprint}", profile))
        member = connection.registry.is_member(own)
    return Registration(own, address, member, receipt.gas_used, "0x" + receipt.tx_hash.hex())

"""Who can be told of an event: a program on this machine, run without a shell, and an address on the web, which gets signed JSON."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import selectors
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from contextlib import suppress
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import IO, Any
from urllib.parse import urlsplit

from defedbio.compute.executor import loopback
from defedbio.errors import InvalidInput
from defedbio.report import Reporter
from defedbio.threads import started

COMMAND_SECONDS = 30.0
REQUEST_SECONDS = 10.0
SOCKET_SECONDS = 5.0
SHOWN_OUTPUT = 2000
LEAST_SECRET = 16
TOLERANCE_SECONDS = 300
# What a program may need to run at all. Nothing else of this process's environment, where passwords may be, reaches it.
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")


class DeliveryFailed(Exception):
    """An event did not arrive; says why, without the address or anything secret."""


def body_of(event: dict[str, Any]) -> bytes:
    return json.dumps(event, sort_keys=True, separators=(",", ":")).encode()


class Command:
    """A program that gets the event as JSON on its standard input, and its name, study and round in the environment."""

    def __init__(self, text: str, report: Reporter, seconds: float = COMMAND_SECONDS) -> None:
        """`text` is split as a shell would split it, once; it is not run by one.

        Raises:
            InvalidInput: if it is empty, badly quoted or names no program.
        """
        try:
            self._argv = shlex.split(text)
        except ValueError as error:
            raise InvalidInput(f"the hook command cannot be split: {error}") from None
        found = shutil.which(self._argv[0]) if self._argv else None
        if found is None:
            raise InvalidInput(f"the hook command names no program: {text!r}", "give a path, or a name on PATH, and its arguments")
        self._argv[0] = found
        self.shown = os.path.basename(found)
        self.identity = f"command {text}"
        self._report, self._seconds = report, seconds
        self._process: subprocess.Popen[bytes] | None = None

    def deliver(self, event: dict[str, Any]) -> None:
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        environment |= {f"DEFEDBIO_{name.upper()}": str(event.get(name, "")) for name in ("event", "study", "round")}
        try:
            process = subprocess.Popen(
                self._argv,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise DeliveryFailed(f"it cannot be run: {error.strerror}") from None
        self._process = process
        assert process.stdin is not None and process.stdout is not None
        said, ended = bytearray(), threading.Event()
        reading = started(partial(_drain, process.stdout, said, ended), "hook-output")
        started(partial(_feed, process.stdin, body_of(event)), "hook-input")
        try:
            code = process.wait(self._seconds)
        except subprocess.TimeoutExpired:
            raise DeliveryFailed(f"it did not end within {self._seconds:g} s") from None
        finally:
            self.close()
            ended.set()
            reading.join(1.0)
        text = said.decode("utf-8", "replace").strip()
        if code != 0:
            raise DeliveryFailed(f"it ended with exit code {code}{': ' if text else ''}{text}")
        if text:
            self._report.note(f"{self.shown} on {event['event']}: {text}")

    def close(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _feed(stream: IO[bytes], data: bytes) -> None:
    with suppress(OSError):
        stream.write(data)
        stream.flush()
    with suppress(OSError):
        stream.close()


def _drain(stream: IO[bytes], said: bytearray, ended: threading.Event) -> None:
    """Keeps what is shown and reads the rest away: a program that says much neither blocks nor fills the memory, and one that left another
    behind with its output open is not waited for."""
    with stream, selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            if selector.select(0.1):
                piece = os.read(stream.fileno(), 65536)
                if not piece:
                    return
                said += piece[: SHOWN_OUTPUT - len(said)]
            elif ended.is_set():
                return


class WebHook:
    """An https address, or a plain one on this machine, that gets events as signed JSON."""

    def __init__(self, url: str, secret: bytes, seconds: float = REQUEST_SECONDS) -> None:
        """`seconds` bounds a whole request, however slowly the receiver answers.

        Raises:
            InvalidInput: for another address, one with credentials in it, or a secret that is too short.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
            if not (url.isascii() and url.isprintable()) or " " in url:
                raise ValueError
        except ValueError:
            raise InvalidInput("the hook address is not a URL") from None
        if not host or parts.scheme not in ("https", "http") or (parts.scheme == "http" and not loopback(host)):
            raise InvalidInput("the hook address must be https, or http on this machine's loopback")
        if parts.username is not None or parts.password is not None:
            raise InvalidInput("the hook address may hold no credentials", "requests are signed with the secret of --hook-secret-file")
        if len(secret) < LEAST_SECRET:
            raise InvalidInput(f"the hook secret must have at least {LEAST_SECRET} bytes", "for example from `openssl rand -hex 32`")
        self._https, self._host = parts.scheme == "https", host
        self._port = port or (443 if self._https else 80)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._secret, self._seconds = secret, seconds
        self.shown = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"
        self.identity = f"url {url}"
        self._connection: HTTPConnection | None = None
        self._cut = threading.Event()

    def deliver(self, event: dict[str, Any]) -> None:
        body, now = body_of(event), int(time.time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "DefedBio-Hook/1",
            "X-DefedBio-Event": str(event["event"]),
            "X-DefedBio-Delivery": str(event["id"]),
            "X-DefedBio-Signature": signature(self._secret, body, now),
        }
        connection = self._connection = self._open()
        self._cut.clear()
        watchdog = threading.Timer(self._seconds, self.close)
        watchdog.daemon = True
        watchdog.start()
        try:
            connection.request("POST", self._path, body, headers)
            status = connection.getresponse().status
        except (OSError, HTTPException) as error:
            raise DeliveryFailed(f"no answer ({type(error).__name__})") from None
        finally:
            watchdog.cancel()
            connection.close()
        if self._cut.is_set():
            raise DeliveryFailed(f"no whole answer within {self._seconds:g} s")
        if not 200 <= status < 300:
            raise DeliveryFailed(f"HTTP status {status}{', and redirects are not followed' if 300 <= status < 400 else ''}")

    def _open(self) -> HTTPConnection:
        if self._https:
            return HTTPSConnection(self._host, self._port, timeout=SOCKET_SECONDS, context=ssl.create_default_context())
        return HTTPConnection(self._host, self._port, timeout=SOCKET_SECONDS)

    def close(self) -> None:
        """Closing only this end's file would leave another thread waiting in it; shutting the connection down wakes it."""
        self._cut.set()
        connection = self._connection
        open_socket = connection.sock if connection is not None else None
        if open_socket is not None:
            with suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)


def signature(secret: bytes, body: bytes, at: int) -> str:
    """The header `X-DefedBio-Signature`: HMAC-SHA256 over the unix time of sending, a dot and the body."""
    return f"t={at},v1={hmac.new(secret, b'%d.' % at + body, hashlib.sha256).hexdigest()}"


def signature_holds(secret: bytes, body: bytes, header: str, now: float, tolerance: float = TOLERANCE_SECONDS) -> bool:
    """Whether a receiver may believe a body: signed with the secret at most `tolerance` seconds from `now`."""
    fields = dict(part.partition("=")[::2] for part in header.split(","))
    at = fields.get("t", "")
    if not at.isascii() or not at.isdigit() or abs(now - int(at[:15])) > tolerance:
        return False
    return hmac.compare_digest(signature(secret, body, int(at)).encode(), header.encode())

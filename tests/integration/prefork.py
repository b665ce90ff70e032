"""Starts `python -m defedbio` without its seconds of imports: every process is forked from one that has imported the whole product. What it
seals with a password costs next to no time, as each command opens some of that.

What is started is a process like any other: its own session, arguments, environment, streams, exit code and death by signal. Linux only.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import json
import os
import pkgutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from scripts.consortium import ROOT, Popen, cli_command

PR_SET_CHILD_SUBREAPER = 36
REQUEST_BYTES = 1 << 20
SCRYPT_COST = 1 << 10
# What the product imports when it first needs it.
LATE = ("cid", "jsonschema", "multiaddr", "web3")
# OpenBLAS and pyarrow's allocator start threads as soon as they are loaded, and threads do not survive a fork.
NO_THREADS = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}


@contextmanager
def prefork() -> Iterator[Popen]:
    """What to start processes with instead of subprocess.Popen; for programs other than `python -m defedbio` the two are the same."""
    if sys.platform != "linux":
        yield subprocess.Popen
        return
    # A process whose parent has ended becomes this process's child, which can then wait for it.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    lock = threading.Lock()

    class Forked(subprocess.Popen[str]):
        """A process whose start alone differs from subprocess's."""

        def _execute_child(self, args: Any, *rest: Any) -> None:
            if list(args[: len(cli_command())]) != cli_command():
                super()._execute_child(args, *rest)  # type: ignore[misc]
                return
            _, _, _, _, cwd, env, _, _, _, p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, *_ = rest
            request = {"args": list(args[len(cli_command()) :]), "cwd": str(cwd), "env": dict(env)}
            with lock:
                streams = [given if given >= 0 else own for own, given in enumerate((p2cread, c2pwrite, errwrite))]
                socket.send_fds(ours, [json.dumps(request).encode()], streams)
                self.pid = int(ours.recv(32))
            self._child_created = True
            self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]

    env = {**os.environ, **NO_THREADS}
    command = [sys.executable, "-m", __name__, str(theirs.fileno())]
    # Closing our end, which is done first whatever happens, ends it.
    with subprocess.Popen(command, cwd=ROOT, env=env, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL), ours:
        theirs.close()
        yield Forked


def main(requests: socket.socket) -> None:
    """Import the product, then become what is asked for, each time in a new process."""
    import defedbio

    for module in pkgutil.walk_packages(defedbio.__path__, "defedbio."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    for name in LATE:
        import_module(name)
    seal_cheaply()
    assert len(os.listdir("/proc/self/task")) == 1, "a module starts threads when it is imported: children would lack them"
    gc.freeze()
    while True:
        message, streams, *_ = socket.recv_fds(requests, REQUEST_BYTES, 3)
        if not message:
            return
        read, write = os.pipe()
        between = os.fork()
        if between == 0 and (child := os.fork()) != 0:
            os.write(write, str(child).encode())
            os._exit(0)
        if between == 0:
            os.close(read)
            os.close(write)
            requests.close()
            return become(streams, **json.loads(message))
        os.close(write)
        os.waitpid(between, 0)
        # Only now is the new process the asker's child.
        requests.send(os.read(read, 32))
        for descriptor in (read, *streams):
            os.close(descriptor)


def seal_cheaply() -> None:
    from defedbio.chain.accounts import create_keystore
    from defedbio.crypto.vault import seal_with_password

    create_keystore.__kwdefaults__["iterations"] = SCRYPT_COST
    seal_with_password.__defaults__ = (SCRYPT_COST,)


def become(streams: list[int], args: list[str], cwd: str, env: dict[str, str]) -> None:
    from defedbio.cli.main import keep_memory_private
    from defedbio.cli.main import main as program

    os.setsid()
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["defedbio", *args]
    keep_memory_private()
    try:
        program()
    except SystemExit as ended:
        if not isinstance(ended.code, int):
            raise
        # All that an interpreter does at its end, but for taking thousands of modules apart, which costs more than most commands.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended.code)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))

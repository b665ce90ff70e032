"""Threads and a real Dask cluster compute what one thread does; what the cluster does not finish is computed here, and is said."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from defedbio.compute import cluster, slices
from defedbio.compute.executor import THREADS, Place, open_executor
from defedbio.compute.slices import Executor, Sliced
from defedbio.crypto import paillier, threshold
from defedbio.crypto.arithmetic import ONE_THREAD, Arithmetic
from defedbio.crypto.keygen.machine import Secrets
from defedbio.crypto.keygen.messages import Kind
from defedbio.domain import Phase
from defedbio.errors import InvalidInput, Unreachable
from defedbio.report import Reporter
from tests.agents.compute.workers import FailsElsewhere, HangsElsewhere, KillsOnce, With
from tests.agents.crypto.keygen.runs import ran
from tests.agents.protocol.in_process import InProcess, reached

VECTORS = Path(__file__).parents[2] / "vectors"
COUNT = 48
ANY_PORT = "127.0.0.1:0"


@pytest.fixture(scope="module")
def key() -> tuple[threshold.ThresholdKey, list[threshold.KeyShare]]:
    primes = json.loads((VECTORS / "keys_512.json").read_text())
    return threshold.deal_from_primes(int(primes["p"], 16), int(primes["q"], 16), 3, 5, os.urandom, minimum_bits=512)


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Any]:
    """A scheduler in this process and two workers with processes of their own, which are started again when they die."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=ANY_PORT) as made:
        yield made


@pytest.fixture
def notes() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def report(notes: list[dict[str, Any]]) -> Reporter:
    return Reporter(notes.append)


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_WORK", 1)


def place_of(made: Any) -> Place:
    return Place.parse(made.scheduler_address.replace("tcp", "dask", 1))


@pytest.fixture
def dask(two_workers: Any, report: Reporter) -> Iterator[Executor]:
    with open_executor(place_of(two_workers), 1, report) as executor:
        yield executor


@pytest.fixture(params=[1, 2, 5, "dask"])
def executor(request: pytest.FixtureRequest, report: Reporter) -> Iterator[Executor]:
    if request.param == "dask":
        yield request.getfixturevalue("dask")
    else:
        with open_executor(Place(), request.param, report) as threads:
            yield threads


def troubles(notes: list[dict[str, Any]]) -> list[str]:
    return [note["message"] for note in notes if note.get("event") == "node.trouble"]


def opened(key: Any, arithmetic: Arithmetic) -> Any:
    """Encrypting, sharing and combining with the same randomness throughout."""
    public, keyshares = key[0].public_key, key[1]
    pool = paillier.ObfuscatorPool(public, lambda count: bytes(i * i % 251 for i in range(count)), arithmetic=arithmetic)
    ciphertexts = paillier.encrypt(public, range(COUNT), pool)
    shares = {i: threshold.share(key[0], keyshares[i - 1], ciphertexts, arithmetic) for i in (1, 3, 4)}
    openings = threshold.combine(key[0], ciphertexts, shares, arithmetic)
    threshold.check_openings(key[0], ciphertexts, openings, os.urandom, arithmetic)
    return ciphertexts, shares, openings


def test_every_executor_gives_what_one_thread_does(key: Any, executor: Executor, notes: list[dict[str, Any]]) -> None:
    found = opened(key, Sliced(executor))
    assert found == opened(key, ONE_THREAD)
    assert [o.m for o in found[2]] == list(range(COUNT))
    assert troubles(notes) == []


def test_powers_of_own_exponents_and_moduli_are_those_of_one_thread(executor: Executor) -> None:
    rows, exponents = [[2, 4, 8] * 7, [11, 13, 2] * 7], [list(range(100, 121)), list(range(21))]
    moduli = [10**9 + 7 + 2 * i for i in range(21)]
    sliced = Sliced(executor)
    for squared in (False, True):
        assert sliced.column_powers(rows, exponents, 10**9 + 7, squared) == ONE_THREAD.column_powers(rows, exponents, 10**9 + 7, squared)
    negative = [-e for e in exponents[0]]
    assert sliced.own_powers(rows[0], negative, moduli) == ONE_THREAD.own_powers(rows[0], negative, moduli)
    assert sliced.column_powers([], [], 7) == sliced.own_powers([], [], []) == []


def test_threads_make_the_messages_of_a_key_ceremony_that_one_makes(report: Reporter) -> None:
    made = ran(448, 2, 3, 22)
    with open_executor(Place(), 2, report) as threads:
        for kind in (Kind.REQUESTS, Kind.ANSWERS, Kind.TRIALS, Kind.OPENING):
            step = made.step(kind)
            assert Secrets(made.terms, 1, made.seeds[1], Sliced(threads)).message(made.records[step]) == made.posts[step][1]


def test_a_worker_killed_in_the_middle_of_a_share(key: Any, dask: Executor, notes: list[dict[str, Any]], tmp_path: Path) -> None:
    ciphertexts = [3**i + 1 for i in range(COUNT)]
    killing = Sliced(With(dask, partial(KillsOnce, tmp_path / "killed")))
    assert threshold.share(key[0], key[1][1], ciphertexts, killing) == threshold.share(key[0], key[1][1], ciphertexts)
    assert (tmp_path / "killed").exists()
    assert troubles(notes) == [], "the cluster's other worker did it"


def test_slices_that_fail_are_computed_here_and_nothing_of_them_is_said(
    key: Any, dask: Executor, notes: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    ciphertexts = [3**i + 1 for i in range(COUNT)]
    failing = Sliced(With(dask, FailsElsewhere))
    assert threshold.share(key[0], key[1][0], ciphertexts, failing) == threshold.share(key[0], key[1][0], ciphertexts)
    assert len(troubles(notes)) == 1
    assert "RuntimeError; 6 of 6 slices are computed here" in troubles(notes)[0]
    assert str(2 * key[0].delta * key[1][0].value) not in json.dumps(notes) + caplog.text


def test_a_cluster_logs_nothing_of_a_slice_that_fails(dask: Executor, two_workers: Any) -> None:
    from distributed import Client

    secret = int.from_bytes(os.urandom(64), "big") | 1 << 511
    with pytest.raises(InvalidInput, match="negative"):
        Sliced(dask).powers(range(2, COUNT), -secret, (1 << 521) - 1)
    with Client(two_workers.scheduler_address, set_as_default=False) as watcher:
        written = f"{watcher.get_worker_logs()} {watcher.get_scheduler_logs()}"
    assert "Compute Failed" in written
    assert str(secret)[:12] not in written
    assert f"{secret:x}"[:12] not in written


def test_after_trouble_the_cluster_is_left_alone_for_a_while(
    key: Any, dask: Executor, notes: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ciphertexts = [3**i + 1 for i in range(COUNT)]
    want = threshold.share(key[0], key[1][0], ciphertexts)
    for _ in range(2):
        assert threshold.share(key[0], key[1][0], ciphertexts, Sliced(With(dask, FailsElsewhere))) == want
    assert len(troubles(notes)) == 1, "the second list did not go there"
    monkeypatch.setattr(dask, "_again_at", 0.0)
    assert threshold.share(key[0], key[1][0], ciphertexts, Sliced(dask)) == want
    assert "computes again" in notes[-1]["message"]


def test_a_connection_lost_between_two_lists(key: Any, dask: Executor, notes: list[dict[str, Any]]) -> None:
    ciphertexts = [3**i + 1 for i in range(COUNT)]
    want = threshold.share(key[0], key[1][0], ciphertexts, Sliced(dask))
    dask._client.close()
    assert threshold.share(key[0], key[1][0], ciphertexts, Sliced(dask)) == want
    assert "the scheduler is gone; 6 of 6" in troubles(notes)[0]
    dask._again_at = 0.0
    assert threshold.share(key[0], key[1][0], ciphertexts, Sliced(dask)) == want
    assert "computes again" in notes[-1]["message"]


SCHEDULER = """
import sys
from distributed import LocalCluster
options = {"processes": False, "protocol": "tcp://", "dashboard_address": "127.0.0.1:0", "threads_per_worker": 1}
with LocalCluster(n_workers=int(sys.argv[1]), **options) as made:
    print(made.scheduler_address, flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(workers: int) -> Iterator[tuple[subprocess.Popen[str], Place]]:
    """A scheduler that can be killed, with workers in its own process."""
    command = [sys.executable, "-W", "ignore", "-c", SCHEDULER, str(workers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, Place.parse(process.stdout.readline().strip().replace("tcp", "dask", 1))
        finally:
            process.kill()


def test_a_lost_scheduler_leaves_the_rest_to_this_machine(
    key: Any, report: Reporter, notes: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setattr(cluster, "PAUSE_SECONDS", 0.0)
    ciphertexts = [3**i + 1 for i in range(COUNT)]
    found: list[list[int]] = []
    os.mkfifo(tmp_path / "arrived")
    with another_process(workers=1) as (process, place), open_executor(place, 1, report) as executor:
        hanging = With(executor, partial(HangsElsewhere, tmp_path / "arrived"))
        node = threading.Thread(target=lambda: found.append(threshold.share(key[0], key[1][0], ciphertexts, Sliced(hanging))))
        node.start()
        assert (tmp_path / "arrived").read_bytes() == b"x"
        process.kill()
        node.join()
        assert found == [threshold.share(key[0], key[1][0], ciphertexts)]
        assert "the scheduler is gone; 6 of 6 slices are computed here" in troubles(notes)[0]
        assert threshold.share(key[0], key[1][0], ciphertexts, Sliced(executor)) == found[0]
        assert "no Dask scheduler answers" in notes[-1]["message"]
    written = capfd.readouterr().err
    assert "Traceback" not in written and "distributed.client" not in written, "the notes say it"


def test_nodes_do_not_start_with_a_cluster_that_does_not_answer(report: Reporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = Place.parse(f"dask://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(Unreachable, match=r"no Dask scheduler answers.*TimeoutError"), open_executor(place, 1, report):
            pass
    with pytest.raises(Unreachable, match=r"no Dask scheduler answers.*ConnectionRefusedError"), open_executor(place, 1, report):
        pass


def test_nodes_do_not_start_with_a_cluster_without_workers(report: Reporter, monkeypatch: pytest.MonkeyPatch) -> None:
    with another_process(workers=0) as (_, place):
        monkeypatch.setattr(cluster, "STALL_SECONDS", 0.2)
        with pytest.raises(Unreachable, match="no worker"), open_executor(place, 1, report):
            pass


def test_nodes_do_not_start_with_workers_that_lack_the_package(two_workers: Any, report: Reporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "ready", FailsElsewhere(cluster.ready))
    with pytest.raises(InvalidInput, match="cannot compute: TypeError"), open_executor(place_of(two_workers), 1, report):
        pass


def test_a_worker_elsewhere_gets_nothing_in_the_clear(two_workers: Any, report: Reporter) -> None:
    local = Place.parse("dask://127.0.0.1:8786")
    assert [local.allows(worker) for worker in ("tcp://127.0.0.1:1", "tcp://10.1.2.3:1", "tcp://[::1]:1", "tls://10.1.2.3:1")] == [
        True,
        False,
        True,
        True,
    ]
    assert Place.parse("dask+insecure://10.1.2.3:8786").allows("tcp://10.1.2.3:1")
    made = cluster.Cluster(two_workers.scheduler_address, lambda worker: False, None, report)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="in the clear to its worker tcp://127"):
        made.connect()


def test_tls_needs_the_certificates_of_the_cluster(key: Any, report: Reporter, notes: list[dict[str, Any]], tmp_path: Path) -> None:
    import dask
    from distributed import LocalCluster
    from distributed.security import Security

    own, foreign = Security.temporary(), Security.temporary()
    with LocalCluster(
        n_workers=1,
        processes=False,
        protocol="tls://",
        host="127.0.0.1",
        security=own,
        dashboard_address=None,
        worker_dashboard_address=None,
    ) as made:
        place = Place.parse(made.scheduler_address.replace("tls", "dask+tls", 1))
        with pytest.raises(InvalidInput, match="TLS to the Dask cluster is not configured"), open_executor(place, 1, report):
            pass
        for security, works in ((foreign, False), (own, True)):
            files = {"ca-file": security.tls_ca_file, "client.cert": security.tls_client_cert, "client.key": security.tls_client_key}
            for name, text in files.items():
                (tmp_path / name).write_text(text)
            with dask.config.set({f"distributed.comm.tls.{name}": str(tmp_path / name) for name in files}):
                if not works:
                    with pytest.raises(Unreachable, match=r"no Dask scheduler answers.*SSL"), open_executor(place, 1, report):
                        pass
                    continue
                with open_executor(place, 1, report) as executor:
                    ciphertexts = [3**i + 1 for i in range(COUNT)]
                    assert threshold.share(key[0], key[1][0], ciphertexts, Sliced(executor)) == threshold.share(
                        key[0], key[1][0], ciphertexts
                    )
    assert troubles(notes) == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (THREADS, Place()),
        ("dask://127.0.0.1:8786", Place("tcp://127.0.0.1:8786")),
        ("dask://localhost:8786", Place("tcp://localhost:8786")),
        ("dask://[::1]:8786", Place("tcp://[::1]:8786")),
        ("dask+tls://cluster.example.org:8786", Place("tls://cluster.example.org:8786")),
        ("dask+insecure://10.0.0.5:8786", Place("tcp://10.0.0.5:8786", in_clear=True)),
    ],
)
def test_forms_of_an_executor(text: str, place: Place) -> None:
    assert Place.parse(text) == place


@pytest.mark.parametrize("text", ["dask://10.0.0.5:8786", "dask://cluster.example.org:8786", "dask://localhost.example.org:8786"])
def test_key_shares_do_not_cross_a_network_in_the_clear(text: str) -> None:
    with pytest.raises(InvalidInput, match="in the clear"):
        Place.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "thread",
        "dask",
        "dask://",
        "dask://127.0.0.1",
        "dask://127.0.0.1:x",
        "tcp://127.0.0.1:8786",
        "dask://u:p@127.0.0.1:1",
        "dask://127.0.0.1:1/x",
    ],
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no executor"):
        Place.parse(text)


class Recorder:
    """Remembers what goes to an executor, or is computed at once."""

    def __init__(self, executor: Executor | None = None) -> None:
        self.executor = executor
        self.kinds: set[str] = set()

    def map(self, function: Callable[[Any], Any], work: Iterable[Any], /) -> Iterator[Any]:
        work = list(work)
        self.kinds |= {type(part).__name__ for part in work}
        return self.executor.map(function, work) if self.executor is not None else map(function, work)


def test_the_powers_of_a_round_go_to_the_node_s_executor(
    dask: Executor, notes: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One organisation has a cluster and the others have not: the round is the same to all."""
    monkeypatch.setattr(slices, "LANES", 1)
    made = InProcess(tmp_path)
    recorders = [Recorder(), Recorder(dask), Recorder(), Recorder()]
    for tools, recorder in zip(made.tools, recorders, strict=True):
        tools.arithmetic = Sliced(recorder)
    made.play(reached(1, Phase.COMMITTED))
    assert [recorder.kinds for recorder in recorders] == [{"_CombPowers"}] * 4, "obfuscators"
    made.play(reached(1, Phase.FINALISED))
    assert recorders[1].kinds == {"_CombPowers", "_Powers"}, "its share, and the opening that it combined"
    assert recorders[2].kinds == {"_CombPowers", "_Powers", "_MultiPower"}, "its share, and the opening that it checked"
    assert troubles(notes) == []
    made.close()

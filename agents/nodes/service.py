"""A node as a service: the organisation's node for one study, and all that lets its operator watch it, fed by its one stream of records."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from defedbio.chain.network import Network
from defedbio.compute.executor import Place, open_arithmetic
from defedbio.config import JOURNAL, Home
from defedbio.errors import DefedError, InvalidInput
from defedbio.nodes.options import RunOptions
from defedbio.nodes.organisation import LoopOptions
from defedbio.nodes.participation import assemble
from defedbio.nodes.watching.hooks import Hooks, Receiver
from defedbio.nodes.watching.logs import LOG_FILE, LogFile, bridged
from defedbio.nodes.watching.metrics import DEFAULT_PORT, NodeMetrics
from defedbio.nodes.watching.receivers import Command, WebHook
from defedbio.nodes.watching.running import announced
from defedbio.nodes.watching.vitals import HasPeers, watched
from defedbio.protocol.effects.keeping import sizes_by_kind
from defedbio.protocol.journal import Journal
from defedbio.protocol.memory import open_journal
from defedbio.protocol.reading import Reader
from defedbio.report import Reporter, Sink, Tee
from defedbio.web.hardening import unspecified

LAST_WORDS_SECONDS = 5.0
COMPLETE_SECONDS = 40.0  # a hook's tries and pauses: nobody starts a node again whose study is complete


@dataclass
class NodeService:
    """`connect` makes the signing connection from the study's journal and the reporter; `peers` asks the own IPFS node, and gives up
    quickly. `screen` gets every record.

    Raises:
        InvalidInput: for options that cannot be meant, before anything is begun.
    """

    home: Home
    network: Network
    address: str
    study: int
    connect: Callable[[Journal, Reporter], Reader]
    peers: HasPeers
    screen: Sink
    options: RunOptions = RunOptions()

    def __post_init__(self) -> None:
        self._secret = _secret_of(self.options)
        self._place = Place.parse(self.options.executor)

    @property
    def folder(self) -> Path:
        return self.home.study(self.network.chain_id, self.network.contracts["RoundManager"], self.study)

    def run(self, data: Path | None, password: str, stop: threading.Event) -> bool:
        """Take part until the study is complete (True) or `stop` is set (False). Raises what `assemble` and `OrganisationNode.run` do."""
        tee = Tee(self.screen)
        report = Reporter(tee, study=self.study, organisation=self.address)
        receivers = self._receivers(report)
        loop = LoopOptions(poll_seconds=self.options.poll, patience=self.options.patience)
        with ExitStack() as stack:
            journal = open_journal(self.folder / JOURNAL)
            stack.callback(journal.close)
            metrics = NodeMetrics(lambda: sizes_by_kind(journal.sizes()))
            log = LogFile(Path(self.options.log_file or self.folder / LOG_FILE))
            stack.callback(log.close)
            tee.add(log.sink)
            tee.add(metrics.sink)
            stack.enter_context(bridged(report))
            stack.enter_context(announced(self.folder, self._serve(metrics, report, stack)))
            with _last_words(report):
                connection = self.connect(journal, report)
                hooks = Hooks(receivers, journal, report, connection.client.head().number)
            stack.callback(hooks.close, LAST_WORDS_SECONDS)
            tee.add(hooks.sink)
            stack.enter_context(_last_words(report))
            arithmetic = stack.enter_context(open_arithmetic(self._place, self.options.threads, report))
            node = assemble(connection, self.home, self.study, data, password, journal, loop, arithmetic)
            node.stop = stop
            stack.enter_context(watched(report, connection.client, self.peers))
            report.note(f"node {self.address} follows study {self.study}")
            complete = node.run()
            report.note("the study is complete" if complete else "stopped; start again to go on")
            if complete:
                hooks.close(COMPLETE_SECONDS)
            return complete

    def _receivers(self, report: Reporter) -> list[Receiver]:
        return [
            *(Command(text, report) for text in self.options.hook_command),
            *(WebHook(url, self._secret) for url in self.options.hook_url),
        ]

    def _serve(self, metrics: NodeMetrics, report: Reporter, stack: ExitStack) -> str:
        """The URL of the metrics, empty without any."""
        if not self.options.metrics:
            return ""
        url, remark = self._listen(metrics, stack)
        if unspecified(self.options.metrics_host) and not self.options.metrics_allow_host:
            remark += "; under loopback's names only: name others with --metrics-allow-host"
        report.note(f"metrics at {url}{remark}")
        return url

    def _listen(self, metrics: NodeMetrics, stack: ExitStack) -> tuple[str, str]:
        host, port, names = self.options.metrics_host, self.options.metrics_port, self.options.metrics_allow_host
        if port is not None:
            return stack.enter_context(metrics.serve(host, port, names)), ""
        try:
            return stack.enter_context(metrics.serve(host, DEFAULT_PORT, names)), ""
        except InvalidInput:
            return stack.enter_context(metrics.serve(host, 0, names)), f": port {DEFAULT_PORT} is taken"


@contextmanager
def _last_words(report: Reporter) -> Iterator[None]:
    """Tell log and hooks what ends the node; the caller gets the error itself."""
    try:
        yield
    except DefedError as error:
        report.note(f"the node stops: {error.message}", level="error", event="node.trouble", fatal=True)
        raise


def _secret_of(options: RunOptions) -> bytes:
    """The secret that web hooks are signed with; empty without any hook.

    Raises:
        InvalidInput: for hooks without a file, or a file that cannot be read.
    """
    if not options.hook_url:
        return b""
    if options.hook_secret_file is None:
        raise InvalidInput("--hook-url needs --hook-secret-file", "requests are signed, so that a receiver knows whose they are")
    path = Path(options.hook_secret_file)
    try:
        return path.read_bytes().strip()
    except OSError as error:
        raise InvalidInput(f"the hook secret {path} cannot be read: {type(error).__name__}") from None

"""A node as a service: the organisation's node for one study, and all that lets its operator watch it, fed by its one stream of records."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from defedbio.chain.network import Network
from defedbio.compute.executor import Place, open_arithmetic
from defedbio.config import Home
from defedbio.errors import DefedError, InvalidInput
from defedbio.nodes.organisation import LoopOptions
from defedbio.nodes.participation import assemble
from defedbio.nodes.watching.hooks import Hooks, Receiver
from defedbio.nodes.watching.logs import LOG_FILE, LogFile, bridged
from defedbio.nodes.watching.metrics import DEFAULT_PORT, MetricsServer, NodeMetrics
from defedbio.nodes.watching.receivers import Command, WebHook
from defedbio.nodes.watching.running import announced
from defedbio.nodes.watching.vitals import HasPeers, watched
from defedbio.protocol.journal import Journal
from defedbio.protocol.reading import Reader
from defedbio.report import Reporter, Sink, Tee

LOOPBACK = "127.0.0.1"
LAST_WORDS_SECONDS = 5.0
COMPLETE_SECONDS = 40.0  # a hook's tries and pauses: nobody starts a node again whose study is complete


@dataclass(frozen=True)
class Operations:
    """How a node is watched. `metrics_port` None: 9460, or a free one where that is taken; `log_file` None: in the study's folder."""

    metrics: bool = True
    metrics_host: str = LOOPBACK
    metrics_port: int | None = None
    log_file: Path | None = None
    hook_commands: Sequence[str] = ()
    hook_urls: Sequence[str] = field(default=(), repr=False)
    hook_secret: bytes = field(default=b"", repr=False)


@dataclass
class NodeService:
    """`connect` makes the signing connection from the study's journal and the reporter; `peers` asks the own IPFS node, and gives up
    quickly. `screen` gets every record. Lists of powers are computed at `place`, on this machine by so many `threads`."""

    home: Home
    network: Network
    address: str
    study: int
    connect: Callable[[Journal, Reporter], Reader]
    peers: HasPeers
    screen: Sink
    operations: Operations = Operations()
    place: Place = field(default_factory=Place)
    threads: int = 1

    @property
    def folder(self) -> Path:
        return self.home.study(self.network.chain_id, self.network.contracts["RoundManager"], self.study)

    def run(self, data: Path | None, password: str, loop: LoopOptions, stop: threading.Event) -> bool:
        """Take part until the study is complete (True) or `stop` is set (False). Raises what `assemble` and `OrganisationNode.run` do."""
        tee, metrics = Tee(self.screen), NodeMetrics()
        report = Reporter(tee, study=self.study, organisation=self.address)
        receivers = self._receivers(report)
        with ExitStack() as stack:
            journal = Journal(self.folder / "journal.sqlite")
            stack.callback(journal.close)
            log = LogFile(self.operations.log_file or self.folder / LOG_FILE)
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
            arithmetic = stack.enter_context(open_arithmetic(self.place, self.threads, report))
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
        options = self.operations
        if options.hook_urls and not options.hook_secret:
            raise InvalidInput("a web hook needs a secret that its requests are signed with", "pass --hook-secret-file")
        return [
            *(Command(text, report) for text in options.hook_commands),
            *(WebHook(url, options.hook_secret) for url in options.hook_urls),
        ]

    def _serve(self, metrics: NodeMetrics, report: Reporter, stack: ExitStack) -> str:
        """The URL of the metrics, empty without any."""
        if not self.operations.metrics:
            return ""
        server, remark = self._listen(metrics)
        stack.callback(server.close)
        report.note(f"metrics at {server.url}{remark}")
        return server.url

    def _listen(self, metrics: NodeMetrics) -> tuple[MetricsServer, str]:
        host, port = self.operations.metrics_host, self.operations.metrics_port
        if port is not None:
            return metrics.serve(host, port), ""
        try:
            return metrics.serve(host, DEFAULT_PORT), ""
        except InvalidInput:
            return metrics.serve(host, 0), f": port {DEFAULT_PORT} is taken"


@contextmanager
def _last_words(report: Reporter) -> Iterator[None]:
    """Tell log and hooks what ends the node; the caller gets the error itself."""
    try:
        yield
    except DefedError as error:
        report.note(f"the node stops: {error.message}", level="error", event="node.trouble", fatal=True)
        raise

"""A worker process: one host per role, and what they share."""

import asyncio
import logging
from typing import Final

import faust
from mode import Service
from prometheus_client import CollectorRegistry

from stream import __version__
from stream.adapters.http import Server, start_http
from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.metrics import Metrics
from stream.errors import FraudstreamError
from stream.settings import Settings
from stream.worker.entrance import enter
from stream.worker.guard import Guard
from stream.worker.host import Host
from stream.worker.log import logging_config

_log = logging.getLogger("stream.worker")

TICK_SECONDS: Final = 1.0


class Process:
    """Everything one worker process runs: one host per role, and what they share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        registry = CollectorRegistry()
        self.metrics = Metrics(registry)
        self.registry = registry
        self.hosts = _hosts(settings, self.metrics)
        self.metrics.build_info.labels(__version__, settings.role).set(1)
        self.app.conf.logging_config = logging_config(settings)
        # Not `app.service`, which starts once partitions are assigned: health is asked for before, when Redis
        # is away, say.
        self.app.add_dependency(_Beside(self))

    @property
    def app(self) -> faust.App:
        """The first role's app, which takes the others along."""
        return self.hosts[0].app

    @property
    def fatal(self) -> BaseException | None:
        """What ended the process, if anything did."""
        return next((host.fatal for host in self.hosts if host.fatal is not None), None)

    def reasons(self) -> list[str]:
        """Say why the process is not ready; empty when it is."""
        return [reason for host in self.hosts for reason in host.reasons()]

    def stalled(self) -> list[str]:
        """Say why the process should be restarted; empty when it lives."""
        return [reason for host in self.hosts for reason in host.stalled()]


def _hosts(settings: Settings, metrics: Metrics) -> list[Host]:
    # A role imports what it needs itself: River, which a scorer does without, is most of a learner's start.
    hosts: list[Host] = []
    if settings.role in ("score", "all"):
        from stream.worker.scorer import ScorerHost  # noqa: PLC0415

        hosts.append(ScorerHost(settings, metrics))
    if settings.role in ("learn", "all"):
        from stream.worker.learner import LearnerHost  # noqa: PLC0415

        hosts.append(LearnerHost(settings, metrics))
    if settings.role == "fit":
        from stream.worker.fitter import FitterHost  # noqa: PLC0415

        hosts.append(FitterHost(settings, metrics))
    return hosts


class _Beside(Service):  # type: ignore[misc]  # mode has no types
    """What runs beside the agents: health and metrics over HTTP, the further roles' apps, a beat a second."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self.process = process
        self._server: Server | None = None
        self._guard: Guard | None = None

    async def on_start(self) -> None:
        process = self.process
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(None, enter, process.settings)
            self._server = await start_http(
                process.settings.http_host,
                process.settings.http_port,
                process.registry,
                ready=process.reasons,
                live=process.stalled,
            )
        except FraudstreamError as error:
            _log.critical("%s", error)
            raise
        _log.info("metrics and health on http://%s:%d", process.settings.http_host, self._server.port)
        for host in process.hosts[1:]:
            # Beside the first: starting takes until partitions are assigned.
            self.add_future(self.add_runtime_dependency(host.app))
        for host in process.hosts:
            self.add_future(self._beat(host))
        settings = process.settings
        if settings.stall_seconds:
            access = KafkaAccess.of(settings)
            self._guard = Guard(process.hosts, access, settings.stall_seconds, process.metrics, loop)
            self._guard.start()

    async def _beat(self, host: Host) -> None:
        # Each by itself: one that waits for a service must not hold up the others.
        while not self.should_stop:
            await host.beat()
            await self.sleep(TICK_SECONDS)

    @Service.task  # type: ignore[untyped-decorator]
    async def _show(self) -> None:
        metrics = self.process.metrics
        while not self.should_stop:
            if self._guard is not None:
                self._guard.beat = asyncio.get_running_loop().time()
            # Anew each time: a partition that was given away must not keep its last lag.
            metrics.lag.clear()
            for host in self.process.hosts:
                for (topic, partition), lag in host.lag().items():
                    metrics.lag.labels(topic, str(partition)).set(lag)
            metrics.ready.set(not self.process.reasons())
            await self.sleep(TICK_SECONDS)

    async def on_stop(self) -> None:
        if self._guard is not None:
            self._guard.stop()
        if self._server is not None:
            await self._server.close()

    async def on_shutdown(self) -> None:
        # Not before: the further roles' apps stop in between, and finish their work.
        for host in self.process.hosts:
            host.close()

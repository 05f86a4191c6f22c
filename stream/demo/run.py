"""A run of the demo: services, workers, simulator; look on; wait for the end of everything; sum up."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console

from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.topics import TopicNames
from stream.demo.child import Child
from stream.demo.crew import Crew, DemoError
from stream.demo.display import Display, LiveDisplay, PlainDisplay
from stream.demo.figures import Figures
from stream.demo.interruption import Interruption
from stream.demo.plan import Plan
from stream.demo.scrape import Scrape
from stream.demo.services import Services, open_services
from stream.demo.story import Story
from stream.demo.summary import Summary, timeline
from stream.demo.witness import Witness
from stream.settings import Settings

TICK_SECONDS: Final = 0.5
_SETTLE_TICK_SECONDS: Final = 0.1
_SETTLE_SECONDS: Final = 30.0
_INTERRUPTED_SETTLE_SECONDS: Final = 6.0
_SIMULATOR_SECONDS: Final = 8.0
_QUALITY_SECONDS: Final = 2.5
"""The learner judges its models once a second: so long until all labels are in its gauges."""


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What somebody asks a demo for."""

    plan: Plan
    live: bool
    """Draw the view; False writes lines."""
    summary: Path | None
    """Where the summary goes as JSON."""


def run_demo(
    options: DemoOptions, settings: Settings, environment: Mapping[str, str], console: Console
) -> int:
    """Run a demo to its end.

    Parameters
    ----------
    options
        What is asked for.
    settings
        A broker and a Redis that were set are used; a default one is replaced with an embedded one.
    environment
        For the processes; its own ``FRAUD_...`` are replaced with `settings`.
    console
        Where it is shown.

    Returns
    -------
    int
        0; or 128 and the signal's number when it was asked to stop, and did in good order.

    Raises
    ------
    DemoError
        A process died, or a transaction is unaccounted for.
    InfrastructureError, TopicError
        A service could not be started or used.
    KeyboardInterrupt
        It was asked to stop a second time, and did at once.
    """
    name = f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    with Interruption() as interruption, open_services(settings, name) as services:
        _say(console, f"{services.broker}; {services.redis}")
        _say(console, options.plan.sentence())
        topics = TopicNames.of(services.settings)
        with (
            Crew(services.settings, environment, lambda: interruption.urgent) as crew,
            Witness(KafkaAccess.of(services.settings), topics) as witness,
        ):
            run = _Run(options, services, crew, witness, console, interruption)
            run.start()
            summary = run.watch()
            _tell(console, run.story, summary, services)
            if options.summary:
                summary.write(options.summary)
            for killed in crew.stop():
                _say(console, f"the {killed} did not stop in time and was killed")
            if summary.unaccounted and not interruption:
                raise DemoError(
                    f"{summary.published} transactions were published, but {summary.scored} scored and"
                    f" {summary.dead_lettered} became dead letters: {summary.unaccounted} are unaccounted for"
                )
    return interruption.exit_code


class _Run:
    """One demo, from the start of its processes until everything published is processed."""

    def __init__(
        self,
        options: DemoOptions,
        services: Services,
        crew: Crew,
        witness: Witness,
        console: Console,
        interruption: Interruption,
    ) -> None:
        topics = TopicNames.of(services.settings)
        self.story = Story(options.plan, topics.transactions, time.monotonic)
        self._options = options
        self._services = services
        self._crew = crew
        self._witness = witness
        self._console = console
        self._interruption = interruption
        self._inputs = (topics.transactions, topics.labels)
        self._scorer = Scrape()
        self._learner = Scrape()

    def start(self) -> None:
        """Start the workers."""
        with self._console.status("starting the learner and the scorer"):
            self._crew.start_workers(lambda: bool(self._interruption))
        if not self._interruption:
            _say(self._console, f"learner and scorer ready after {self.story.seconds:.1f} s")

    def watch(self) -> Summary:
        """Simulate and look on until everything published is processed, or somebody asks to stop."""
        display: Display = (LiveDisplay if self._options.live else PlainDisplay)(self.story, self._console)
        started = time.monotonic()
        if not self._interruption:
            with display:
                simulator = self._crew.start_simulator(self._options.plan)
                while simulator.exit_code is None and not self._interruption:
                    self._look(display)
                    simulator.wait(TICK_SECONDS)
                self._settle(display, simulator)
        simulation = self._crew.simulation()
        # What the producer says that it has published counts, not what the broker says that it has taken.
        self.story.figures = replace(
            self.story.figures,
            published=simulation.get("published", self.story.figures.published),
            labels_published=simulation.get("labels_published", self.story.figures.labels_published),
        )
        return Summary.of(
            self.story,
            self._services,
            seconds=simulation.get("seconds", time.monotonic() - started),
            finished=simulation.get("finished", False),
        )

    def _settle(self, display: Display, simulator: Child) -> None:
        """Wait until the workers have counted everything that was published."""
        patience = _SETTLE_SECONDS
        if self._interruption:
            patience = _INTERRUPTED_SETTLE_SECONDS
            _say(
                self._console,
                "stopping: what is published is processed first (Ctrl-C again: at once)",
            )
            simulator.stop(_SIMULATOR_SECONDS)
        self._look_until(self._is_settled, patience, display)
        if not self._interruption:
            judged = self.story.seconds + _QUALITY_SECONDS
            self._look_until(lambda: self.story.seconds >= judged, 2 * _QUALITY_SECONDS, display)

    def _is_settled(self) -> bool:
        figures = self.story.figures
        return (
            figures.published == figures.scored + self.story.dead_lettered
            and figures.labels_published == figures.labels_read
        )

    def _look_until(self, done: Callable[[], bool], seconds: float, display: Display) -> None:
        deadline = time.monotonic() + seconds
        self._look(display)
        while not done() and time.monotonic() < deadline:
            time.sleep(_SETTLE_TICK_SECONDS)
            self._look(display)

    def _look(self, display: Display) -> None:
        if not self._interruption:
            self._crew.check()
        # A worker that does not answer now has not changed its mind: its last words stand.
        self._scorer = self._crew.scorer.scrape() or self._scorer
        self._learner = self._crew.learner.scrape() or self._learner
        sighting = self._witness.look()
        published = self._witness.published()
        self.story.take_in(Figures.of(self._scorer, self._learner, published, self._inputs), sighting)
        display.refresh()


def _tell(console: Console, story: Story, summary: Summary, services: Services) -> None:
    console.print(timeline(story))
    console.print()
    console.print(summary.table())
    if summary.unaccounted:
        _say(console, f"{summary.unaccounted} transactions were published and not processed any more")
    if services.remains:
        _say(console, services.remains)


def _say(console: Console, line: str) -> None:
    # A log's line is one line, however long; on a terminal it breaks between words.
    console.print(line, soft_wrap=not console.is_terminal, highlight=False, markup=False)

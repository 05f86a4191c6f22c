"""The faults: what each does, and what it hits."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple

from benchmarks.chaos.crew import Member, Role
from benchmarks.chaos.deployment import Deployment, StuckError
from benchmarks.chaos.network import Cut
from benchmarks.chaos.traffic import Place, Sent

LONGEST_SECONDS: Final = 120.0
"""A recovery that takes longer has failed."""
_POLL_SECONDS: Final = 0.05
_LOOK_SECONDS: Final = 0.5
_POISON: Final = 60
_REPEATED: Final = 150


class Injected(NamedTuple):
    """A fault that was injected, and how the pipeline came through."""

    kind: str
    target: str
    at: float
    """Seconds since the run began."""
    served: float
    """Seconds until what came after it was done with, in every partition that it hit. A kill and a freeze
    count from the blow; a pause and a cut, which last as long as they last, from their end."""
    settled: float
    """Seconds until there was no backlog and every worker was ready, counted alike."""


class Chaos:
    """Injects faults into a deployment, one at a time.

    Parameters
    ----------
    deployment
        Running.
    seed
        Of what is hit, when and for how long.
    """

    def __init__(self, deployment: Deployment, seed: int) -> None:
        self._deployment = deployment
        self._random = random.Random(seed)
        self._watch = _Watch({})
        self.rewound = 0
        """How often Redis came back with less than it had confirmed."""

    def schedule(self, faults: int, kinds: list[str]) -> list[str]:
        """Return the kinds of so many faults: every kind before any comes again, in an order of chance."""
        order: list[str] = []
        while len(order) < faults:
            order += self._random.sample(kinds, len(kinds))
        return order[:faults]

    def inject(self, kind: str) -> Injected:
        """Inject a fault amid a burst, and wait until the pipeline has come through.

        Raises
        ------
        StuckError
            It has not.
        """
        bursts = self._deployment.load.bursts
        self.wait(lambda: self._deployment.load.bursts > bursts, f"the load before {kind}")
        time.sleep(self._random.uniform(0, 0.3))
        at = self._deployment.elapsed()
        target = KINDS[kind](self)
        watch = self._watch
        self.wait(lambda: watch.served is not None, f"service after {kind} of {target}")
        self.settle(f"rest after {kind} of {target}")
        settled = time.monotonic() - watch.since
        return Injected(kind, target, round(at, 1), round(watch.served or 0.0, 2), round(settled, 2))

    def settle(self, what: str) -> None:
        """Wait until everything published by now is done with and every worker is in its place."""
        ends = self._deployment.load.ends()
        self.wait(lambda: self._caught_up(ends), what)
        self.wait(self._deployment.whole, what, every=_LOOK_SECONDS)

    def wait(self, condition: Callable[[], bool], what: str, every: float = _POLL_SECONDS) -> None:
        """Wait for a condition, and keep the workers running and the watch awake meanwhile.

        Raises
        ------
        StuckError
            Time was up.
        """
        deployment = self._deployment
        deadline = time.monotonic() + LONGEST_SECONDS
        while not condition():
            deployment.crew.supervise()
            if self._watch.served is None:
                self._watch.look(deployment.done())
            if deployment.load.failure is not None:
                raise StuckError(f"the load could not be published: {deployment.load.failure}")
            if time.monotonic() > deadline:
                raise StuckError(
                    f"no {what} within {LONGEST_SECONDS:g} s; so it stands:\n{deployment.describe()}"
                )
            time.sleep(every)

    # The faults. Each returns what it has hit.

    def kill_scorer(self) -> str:
        """End a scorer at once; it is started again."""
        return self._kill(self._victim("score"))

    def kill_learner(self) -> str:
        """End the learner that learns."""
        return self._kill(self._victim("learn"))

    def freeze_scorer(self) -> str:
        """Freeze a scorer until others have its partitions, then let it go on, as a zombie."""
        return self._freeze(self._victim("score"))

    def freeze_learner(self) -> str:
        """Freeze the learner until the other one learns."""
        return self._freeze(self._victim("learn"))

    def kill_broker(self) -> str:
        """End the broker at once, and start it again on the same data."""
        deployment = self._deployment
        self._begin(deployment.all_places())
        deployment.kafka.process.kill()
        self._linger(0, 2)
        deployment.kafka.start()
        return "kafka"

    def kill_redis(self) -> str:
        """End Redis at once, and start it again on its append-only file."""
        deployment = self._deployment
        before = deployment.done()
        self._begin(deployment.all_places())
        deployment.redis.process.kill()
        self._linger(0, 2)
        deployment.redis.start()
        after = deployment.done()
        if before is not None and after is not None:
            lost = {place: end - after[place] for place, end in before.items() if after[place] < end}
            if lost:
                self.rewound += 1
                deployment.say(f"  Redis came back without what it had confirmed: {lost}")
        return "redis"

    def pause_redis(self) -> str:
        """Freeze Redis for a while: connections stay open, nothing answers."""
        deployment = self._deployment
        seconds = self._random.uniform(1, 8)
        deployment.redis.process.pause()
        self._linger(seconds, seconds)
        self._begin(deployment.all_places())
        deployment.redis.process.resume()
        return f"redis for {seconds:.1f} s"

    def kill_and_pause(self) -> str:
        """End a scorer at once, and freeze Redis while others take its partitions over."""
        deployment = self._deployment
        member = self._victim("score")
        deployment.crew.kill(member)
        session = deployment.settings.session_timeout_seconds
        self._linger(session - 2, session + 1)
        return f"{member.name}, {self.pause_redis()}"

    def cut_broker(self) -> str:
        """Cut one worker off from the broker."""
        member = self._anybody()
        return self._cut(member, "broker")

    def cut_redis(self) -> str:
        """Cut one worker off from Redis."""
        member = self._anybody()
        return self._cut(member, "redis")

    def duplicate(self) -> str:
        """Publish transactions and labels once more."""
        return self._publish(self._deployment.load.duplicate(_REPEATED, _REPEATED // 3))

    def disorder(self) -> str:
        """Publish a burst that is out of order and days late."""
        return self._publish(self._deployment.load.burst(disordered=True))

    def poison(self) -> str:
        """Publish a burst of records that nobody can use."""
        return self._publish(self._deployment.load.spoil(_POISON))

    def _kill(self, member: Member) -> str:
        with self._hitting(member):
            self._deployment.crew.kill(member)
        return member.name

    def _freeze(self, member: Member) -> str:
        crew = self._deployment.crew
        with self._hitting(member):
            held = member.holds()
            crew.freeze(member)

        def replaced() -> bool:
            return held <= {part for others in crew.holding(member.role).values() for part in others}

        try:
            self.wait(replaced, f"successor of {member.name}", every=_LOOK_SECONDS)
            self._linger(0, 2)
        finally:
            crew.thaw(member)
        return member.name

    def _cut(self, member: Member, service: str) -> str:
        how: Cut = self._random.choice(("silent", "reset"))
        # Well within a session, or well past it.
        seconds = self._random.choice((self._random.uniform(0.5, 3), self._random.uniform(8, 11)))
        link = member.broker if service == "broker" else member.redis
        with self._hitting(member, also_now=False):
            link.cut(how)
            self._linger(seconds, seconds)
            link.heal()
        return f"{member.name}, {how} for {seconds:.1f} s"

    def _publish(self, sent: Sent) -> str:
        since = time.monotonic()
        load = self._deployment.load
        self.wait(lambda: load.delivered(sent), "delivery")
        self._watch = _Watch(sent.ends, since)
        return f"{len(sent.ends)} partitions"

    def _victim(self, role: Role) -> Member:
        """Choose among those that have something to do."""
        holding: dict[str, frozenset[int]] = {}

        def found() -> bool:
            holding.update(self._deployment.crew.holding(role))
            return bool(holding)

        self.wait(found, f"{role} worker with partitions", every=_LOOK_SECONDS)
        return self._deployment.crew.named(self._random.choice(sorted(holding)))

    def _anybody(self) -> Member:
        return self._victim("learn" if self._random.random() < 1 / 3 else "score")

    @contextmanager
    def _hitting(self, member: Member, *, also_now: bool = True) -> Iterator[None]:
        """Watch the partitions of a worker, from now on or from the end of the blow."""
        deployment = self._deployment
        held = member.holds()
        places = (
            deployment.scored_places(held)
            if member.role == "score"
            else frozenset({(deployment.topics.labels, 0)})
        )
        if also_now:
            self._begin(places)
        yield
        if not also_now:
            self._begin(places)

    def _begin(self, places: frozenset[Place]) -> None:
        ends = self._deployment.load.ends()
        # The first record published from now on, in each.
        self._watch = _Watch({place: ends.get(place, -1) + 1 for place in places})

    def _linger(self, least: float, most: float) -> None:
        """Let some seconds pass."""
        until = time.monotonic() + self._random.uniform(least, most)
        self.wait(lambda: time.monotonic() >= until, "end of a pause")

    def _caught_up(self, ends: Mapping[Place, int]) -> bool:
        done = self._deployment.done()
        return done is not None and all(done[place] >= end for place, end in ends.items())


class _Watch:
    """Waits for the watermarks of some partitions to reach given offsets."""

    def __init__(self, targets: Mapping[Place, int], since: float | None = None) -> None:
        self._targets = dict(targets)
        self.since = time.monotonic() if since is None else since
        self.served: float | None = None

    def look(self, done: Mapping[Place, int] | None) -> None:
        if done is not None and all(done[place] >= offset for place, offset in self._targets.items()):
            self.served = time.monotonic() - self.since


KINDS: Final[dict[str, Callable[[Chaos], str]]] = {
    "kill-scorer": Chaos.kill_scorer,
    "kill-learner": Chaos.kill_learner,
    "kill-broker": Chaos.kill_broker,
    "kill-redis": Chaos.kill_redis,
    "freeze-scorer": Chaos.freeze_scorer,
    "freeze-learner": Chaos.freeze_learner,
    "pause-redis": Chaos.pause_redis,
    "kill-and-pause": Chaos.kill_and_pause,
    "cut-broker": Chaos.cut_broker,
    "cut-redis": Chaos.cut_redis,
    "duplicate": Chaos.duplicate,
    "disorder": Chaos.disorder,
    "poison": Chaos.poison,
}
"""Every kind of fault, by name."""

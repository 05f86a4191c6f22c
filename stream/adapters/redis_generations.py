"""Generations in Redis: which there are, which of them has a record, and which is written to.

When a generation begins and ends is said in :mod:`stream.adapters.generations`; what lies in Redis in
``docs/redis-format.md``. Writing is left to the scripts of :mod:`stream.adapters.redis_store`.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from redis.client import Pipeline

from stream.adapters.generations import Turn, span_ms, turn
from stream.adapters.redis_connection import RedisConnection
from stream.adapters.redis_wire import command, plain
from stream.clock import Clock

NameKeys = Callable[[Iterable[int]], list[str]]
"""Names generations by their numbers."""


class Asked(NamedTuple):
    """What is looked for in generations."""

    fields: Sequence[str]
    generations: Mapping[str, NameKeys]
    """In which generations, by the key of their index."""


class RedisGenerations:
    """Finds records in generations, and remembers which generations there are.

    Parameters
    ----------
    redis
        Where they lie.
    ttl_ms
        How long a record is kept at least, milliseconds.
    clock
        The present.
    """

    def __init__(self, redis: RedisConnection, ttl_ms: int, clock: Clock) -> None:
        self._redis = redis
        self._ttl_ms = ttl_ms
        self._clock = clock
        self._find_script = redis.script("find.lua")
        self._known: dict[str, dict[int, int]] = {}
        """Until when each generation is kept, as last seen or written: by the key of its index."""
        self.backstop_ms = ttl_ms + 2 * span_ms(ttl_ms)
        """Longer than a generation is kept after something was written to it, however clocks differ a bit."""

    def know(self, index: str, stored: Mapping[bytes, bytes]) -> None:
        """Remember what an index says, as Redis returned it."""
        self._known[index] = _numbers(stored)

    def lookup(self, what: str, fields: Sequence[str], index: str, name: NameKeys) -> "Lookup":
        """Return a search by plain commands in the generations of one index, to be sent with others."""
        return Lookup(self, what, Asked(fields, {index: name} if fields else {}))

    def search(self, what: str, asked: Asked) -> dict[str, bytes]:
        """Look in all generations; return what is found.

        One round trip, which looks in the generations that are known and asks which there are. Only where
        there are others by now, a second one looks again.
        """
        found, stale = self._look(what, asked)
        while stale:
            more, stale = self._look(what, asked._replace(generations=stale))
            found |= more
        return found

    def numbers(self, index: str) -> list[int]:
        """Return the generations that are known, the newest first."""
        return sorted(self._known.get(index, {}), reverse=True)

    def learn(self, index: str, there: dict[int, int], looked: Container[int]) -> bool:
        """Remember what an index says; tell whether there are generations besides those looked in."""
        if there != self._known.get(index, {}):
            self._known[index] = there
        return not all(number in looked for number in there)

    def _look(self, what: str, asked: Asked) -> tuple[dict[str, bytes], dict[str, NameKeys]]:
        """Look in the generations that are known; return what is found, and where there are others."""
        indexes = asked.generations if asked.fields else {}
        fields = _ENCODER.encode(asked.fields) if indexes else b""
        known = {index: self.numbers(index) for index in indexes}

        def ask(pipe: Pipeline) -> None:
            for index, name in indexes.items():
                keys = name(known[index])
                pipe.hgetall(index)
                pipe.evalsha(self._find_script.sha, len(keys), *keys, fields)

        answers = self._redis.read(what, self._find_script, ask)
        found: dict[str, bytes] = {}
        stale: dict[str, NameKeys] = {}
        for n, (index, name) in enumerate(indexes.items()):
            found.update(_hits(asked.fields, answers[2 * n + 1]))
            if self.learn(index, _numbers(answers[2 * n]), known[index]):
                stale[index] = name
        return found, stale

    def turn(self, index: str) -> Turn:
        """Return the generation to write to now, and those to remove."""
        return turn(self._known.get(index, {}), self._clock(), self._ttl_ms)

    def turned(self, index: str, done: Turn, *, written: bool) -> None:
        """Remember what a commit has done to the generations."""
        known = self._known.get(index, {})
        if written and known.get(done.current) != done.until_ms:
            known = known | {done.current: done.until_ms}
        if done.expired:
            known = {number: until for number, until in known.items() if number not in done.expired}
        self._known[index] = known


class Lookup:
    """A search in the generations of one index.

    Nearly all that a scorer looks for is nowhere. To say so of each field in each generation costs Redis less
    than a script does; only where there is more than one index, the fields would go out too often.

    Parameters
    ----------
    generations
        That know which there are.
    what
        The errand, as an error will name it.
    asked
        What is looked for, in one index at most.
    """

    def __init__(self, generations: RedisGenerations, what: str, asked: Asked) -> None:
        self._generations = generations
        self._what = what
        self._asked = asked
        self._looked = {index: generations.numbers(index) for index in asked.generations}

    def commands(self) -> list[list[bytes]]:
        """Return what to ask."""
        commands = []
        fields = plain(self._asked.fields)
        for index, name in self._asked.generations.items():
            commands.append(command(plain(["HGETALL", index])))
            commands += [command(plain(["HMGET", key]), fields) for key in name(self._looked[index])]
        return commands

    def found(self, answers: Sequence[Any]) -> dict[str, bytes]:
        """Return what is found, of the answers to that; where there are more generations, look there too."""
        found: dict[str, bytes] = {}
        for index, looked in self._looked.items():
            stored, *each = answers
            # The oldest first, so that what is newer replaces it.
            for values in reversed(each):
                if values.count(None) < len(values):
                    hits = zip(self._asked.fields, values, strict=True)
                    found.update((name, value) for name, value in hits if value is not None)
            there = _numbers(dict(zip(stored[::2], stored[1::2], strict=True)))
            if self._generations.learn(index, there, looked):
                found |= self._generations.search(self._what, self._asked)
        return found


_ENCODER: Final = msgspec.msgpack.Encoder()
_INTEGERS: Final = msgspec.msgpack.Decoder(list[int])


def _hits(fields: Sequence[str], answer: Sequence[bytes] | None) -> Iterator[tuple[str, bytes]]:
    """Take apart what the script has found."""
    if answer is None:
        return
    places, sizes, values = _INTEGERS.decode(answer[0]), _INTEGERS.decode(answer[1]), answer[2]
    begin = 0
    for place, size in zip(places, sizes, strict=True):
        end = begin + size
        yield fields[place - 1], values[begin:end]
        begin = end


def _numbers(stored: Mapping[bytes, bytes]) -> dict[int, int]:
    return {int(number): int(until) for number, until in stored.items()}

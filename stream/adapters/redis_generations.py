"""Generations in Redis: which there are, which of them has a record, and which is written to.

When a generation begins and ends is said in :mod:`stream.adapters.generations`; what lies in Redis in
``docs/redis-format.md``. Writing is left to the scripts of :mod:`stream.adapters.redis_store`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from redis.client import Pipeline

from stream.adapters.generations import Turn, span_ms, turn
from stream.adapters.redis_connection import RedisConnection
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

    def search(
        self, what: str, asked: Asked, queue: Callable[[Pipeline], None] = lambda _: None
    ) -> tuple[dict[str, bytes], list[Any]]:
        """Look in all generations; return what is found, and the answers to what `queue` asks besides.

        One round trip, which looks in the generations that are known and asks which there are. Only where
        there are others by now, a second one looks again.
        """
        found, stale, answers = self._look(what, asked, queue)
        while stale:
            more, stale, _ = self._look(what, asked._replace(generations=stale), lambda _: None)
            found |= more
        return found, answers

    def _look(
        self, what: str, asked: Asked, queue: Callable[[Pipeline], None]
    ) -> tuple[dict[str, bytes], dict[str, NameKeys], list[Any]]:
        """Look in the generations that are known; return what is found, and where there are others."""
        indexes = asked.generations if asked.fields else {}
        fields = _ENCODER.encode(asked.fields) if indexes else b""
        known = {index: self._known.get(index, {}) for index in indexes}

        def ask(pipe: Pipeline) -> None:
            for index, name in indexes.items():
                keys = name(sorted(known[index], reverse=True))
                pipe.hgetall(index)
                pipe.evalsha(self._find_script.sha, len(keys), *keys, fields)
            queue(pipe)

        answers = self._redis.read(what, self._find_script, ask)
        found: dict[str, bytes] = {}
        stale: dict[str, NameKeys] = {}
        for n, (index, name) in enumerate(indexes.items()):
            there = _numbers(answers[2 * n])
            found.update(_hits(asked.fields, answers[2 * n + 1]))
            if there != known[index]:
                self._known[index] = there
            if not there.keys() <= known[index].keys():
                stale[index] = name
        return found, stale, answers[2 * len(indexes) :]

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

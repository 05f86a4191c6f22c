"""A swap amid a stream: each transaction is answered once, and each partition changes over once."""

from collections.abc import Callable
from itertools import count, groupby
from typing import Any

import msgspec
import pytest

from stream.records import ModelEvent, Score
from stream.settings import Settings
from tests.services.pipeline import Pipeline
from tests.services.process import Process
from tests.services.traffic import labels, transactions
from tests.services.waiting import eventually
from tests.services.worker import Worker

Deploy = Callable[..., Settings]
Start = Callable[..., Worker]
Command = Callable[..., Process]

TAUGHT = 600
WAVE = 60


class Stream:
    """Transactions that go on, each wave sent before the one before it has been scored."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._waves = count()
        self.sent = 0

    def teach(self) -> None:
        """Send transactions and their labels, until the models know enough to serve."""
        some = transactions(TAUGHT, "taught-")
        self._send(some)
        self._pipeline.await_scored(self.sent)
        self._pipeline.publish(labels(some))
        self._pipeline.await_learnt(TAUGHT)

    def go_on(self) -> None:
        """Send another wave, and wait for the one before."""
        before = self.sent
        self._send(transactions(WAVE, f"w{next(self._waves)}-"))
        self._pipeline.await_scored(before)

    def _send(self, some: list[Any]) -> None:
        self._pipeline.publish(some)
        self.sent += len(some)


def champions(pipeline: Pipeline) -> dict[int, list[str]]:
    """Return who answered in each partition, one after the other."""
    by_partition: dict[int, list[str]] = {}
    for record in pipeline.read(pipeline.topics.scores):
        score = msgspec.json.decode(record.value or b"", type=Score)
        by_partition.setdefault(record.partition, []).append(score.model_version)
    return {
        partition: [version for version, _ in groupby(versions)]
        for partition, versions in by_partition.items()
    }


@pytest.mark.service("kafka")
@pytest.mark.service("redis")
def test_ordered_swaps_amid_a_stream_answer_each_transaction_once_and_change_each_partition_over_once(
    topics: Deploy, worker: Start, command: Command
) -> None:
    settings = topics(champion="logistic", challengers=("tree",))
    with Pipeline(settings) as pipeline:
        worker(settings, "score")
        worker(settings, "learn")
        stream = Stream(pipeline)
        stream.teach()

        def order(*words: str) -> None:
            """Give an order, and let the stream flow until it is answered."""
            given = command(settings, "models", *words, "--who", "ann", "--why", "a test")

            def answered() -> bool:
                stream.go_on()
                return given.returncode is not None

            eventually(answered, 90, given.tail)
            assert given.returncode == 0, given.tail()

        def serves_everywhere(version: str) -> None:
            def served() -> bool:
                stream.go_on()
                last = [versions[-1] for versions in champions(pipeline).values()]
                return last == [version] * settings.partitions

            eventually(served, 90, lambda: f"{version} serves: {champions(pipeline)}")

        order("promote", "tree-1")
        serves_everywhere("tree-1")
        order("rollback")
        serves_everywhere("logistic-1")

        pipeline.await_scored(stream.sent)
        answers = [
            msgspec.json.decode(record.value or b"", type=Score)
            for record in pipeline.read(pipeline.topics.scores, stream.sent)
        ]
        assert len(answers) == len({score.transaction_id for score in answers}) == stream.sent
        changes = ["logistic-1", "tree-1", "logistic-1"]
        assert champions(pipeline) == dict.fromkeys(range(settings.partitions), changes)
        events = [
            msgspec.json.decode(record.value or b"", type=ModelEvent)
            for record in pipeline.read(pipeline.topics.model_events)
        ]
        assert [(event.kind, event.model_version, event.evidence["who"]) for event in events] == [
            ("swap", "tree-1", "ann"),
            ("rollback", "logistic-1", "ann"),
        ]

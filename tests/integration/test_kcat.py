"""A neighbour that is none of ours: `kcat`, publishing what somebody wrote by hand."""

import subprocess
from collections.abc import Callable

import msgspec
import pytest

from stream.records import DeadLetterReason, Score
from stream.settings import Settings
from tests.services.pipeline import Pipeline
from tests.services.worker import Worker

Deploy = Callable[..., Settings]
Start = Callable[..., Worker]

BY_HAND = (
    '4711|{"transaction_id": "by-hand", "event_time": "2025-03-01T12:00:00+01:00", "customer_id": "4711",'
    ' "terminal_id": "shop", "amount": 12.5, "note": "unknown fields are fine"}\n'
)


@pytest.mark.service("redis", "kcat")
def test_a_transaction_written_by_hand_is_scored_and_a_broken_one_told_what_is_wrong(
    deploy: Deploy, worker: Start
) -> None:
    with Pipeline(deploy()) as pipeline:
        worker(pipeline.settings, "all")
        _kcat(pipeline, BY_HAND + '4711|{"oops"\n')

        [record] = pipeline.read(pipeline.topics.scores, until=1)
        score = msgspec.json.decode(record.value or b"", type=Score)
        assert record.key == b"4711"
        assert (score.transaction_id, score.event_time) == ("by-hand", 1_740_826_800_000)
        assert 0 <= score.score <= 1

        [letter] = pipeline.dead_letters(1)
        assert (letter.key, letter.value) == (b"4711", b'{"oops"')
        assert letter.reason == DeadLetterReason.MALFORMED_JSON
        assert letter.detail == "Input data was truncated"


def _kcat(pipeline: Pipeline, lines: str) -> None:
    command = ["kcat", "-P", "-b", pipeline.settings.broker, "-t", pipeline.topics.transactions, "-K", "|"]
    subprocess.run(command, input=lines, text=True, check=True, timeout=30)

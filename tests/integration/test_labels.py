"""Labels through the real pipeline: repeated, corrected, ahead of their transaction, and without one."""

from collections.abc import Callable

import pytest

from stream.features.risk import unpack_risks
from stream.pipeline.verdicts import Said, unpack_verdicts
from stream.records import encode
from stream.settings import Settings
from tests.services.pipeline import Pipeline
from tests.services.traffic import label, transactions
from tests.services.waiting import eventually
from tests.services.worker import Worker

Start = Callable[..., Worker]

GRACE_SECONDS = 4.0


@pytest.mark.service("redis")
def test_labels_are_joined_once_corrected_parked_and_given_up(
    embedded_broker: str, redis_url: str, worker: Start
) -> None:
    scored, late, never = transactions(20), transactions(1, "late")[0], transactions(1, "never")[0]
    repeated, corrected, *others = scored
    settings = Settings(
        broker=embedded_broker, redis=redis_url, label_grace_seconds=GRACE_SECONDS, challengers=()
    )
    with Pipeline(settings) as pipeline:
        process = worker(settings, "all")
        pipeline.publish(scored)
        pipeline.scores(scored)

        pipeline.publish(
            [
                label(repeated, is_fraud=True),  # offset 0
                label(corrected, is_fraud=False),
                label(late, is_fraud=True),
                label(never, is_fraud=True),
                label(repeated, is_fraud=True, after_days=9),
                label(corrected, is_fraud=True, after_days=9),  # offset 5
                *(label(one, is_fraud=False) for one in others),
            ]
        )
        pipeline.await_learnt(24)
        eventually(lambda: process.metric("fraud_parked_labels") == 2, describe="two labels parked")
        verdicts = {name: unpack_verdicts(said) for name, said in pipeline.verdicts().items()}
        assert verdicts.keys() == {one.transaction_id for one in scored}
        assert verdicts[repeated.transaction_id] == (Said(0, is_fraud=True),)
        assert verdicts[corrected.transaction_id] == (Said(1, is_fraud=False), Said(5, is_fraud=True))

        pipeline.publish([late])
        eventually(lambda: late.transaction_id in pipeline.verdicts(), describe="the early label joined")
        [letter] = pipeline.dead_letters(1)
        assert letter.reason == "unmatched_label"
        assert (letter.topic, letter.offset) == (pipeline.topics.labels, 3)
        assert letter.value == encode(label(never, is_fraud=True))
        assert letter.detail == "no transaction never0 was scored within 4 s of this"

        outcomes = {
            "joined": 21,
            "duplicate": 1,
            "corrected": 1,
            "parked": 2,
            "unmatched": 1,
            "dead_letter": 0,
        }
        eventually(lambda: process.metric("fraud_labels_total", outcome="unmatched") == 1)
        for outcome, count in outcomes.items():
            assert process.metric("fraud_labels_total", outcome=outcome) == count, outcome
        assert process.metric("fraud_parked_labels") == 0
        # The correction is learnt once more, the repetition is not.
        assert process.metric("fraud_learned_total", model="ensemble-1") == 22
        terminals = unpack_risks([*pipeline.learner_keys("t").values()])
        assert sum(sum(record.frauds) for record in terminals) == 3
        assert sum(sum(record.labels) for record in terminals) == 21

"""The batch challenger through the real pipeline: a fitter's model is scored in shadow, and outlives it."""

from collections.abc import Callable

import pytest

from stream.registry.snapshot import decode_roster
from stream.settings import Settings
from tests.services.pipeline import Pipeline, decode_score
from tests.services.traffic import labels, transactions
from tests.services.waiting import eventually
from tests.services.worker import Worker

Start = Callable[..., Worker]


def roster(pipeline: Pipeline) -> set[str]:
    sealed = pipeline.store.roster()
    assert sealed is not None
    return {member.version for member in decode_roster(sealed, b"a-throw-away-key").members}


@pytest.mark.service("redis")
def test_a_lightgbm_challenger_joins_the_roster_and_is_scored(
    deploy: Callable[..., Settings], worker: Start
) -> None:
    settings = deploy(
        challengers=(),
        batch_min_frauds=30,
        batch_negative_rate=0.9,
        batch_every_days=0.3,  # which is 432 of these transactions
        signing_key="a-throw-away-key",
        models_wait_seconds=60,
    )
    first = transactions(500)
    with Pipeline(settings) as pipeline:
        main, fitter = worker(settings, "all"), worker(settings, "fit")
        pipeline.publish(first)
        pipeline.await_scored(500)
        pipeline.publish(labels(first))
        eventually(lambda: "lightgbm-1" in roster(pipeline), describe=lambda: f"only {roster(pipeline)}")
        eventually(lambda: fitter.metric("fraud_label_offset") == 499, describe="every label read")
        assert fitter.metric("fraud_fits_total") == fitter.metric("fraud_fit_seconds_count") == 1
        assert fitter.metric("fraud_fit_labels_total", outcome="joined") == 500
        assert fitter.metric("fraud_fit_rows", outcome="fraud") > 30
        assert fitter.metric("fraud_fit_timestamp_seconds") > 0
        eventually(lambda: main.metric("fraud_offers_total", decision="admitted") == 1)

        second = transactions(60, "b")
        pipeline.publish(second)
        scores = [decode_score(value) for [value] in pipeline.scores(second).values() if value]
        shadows = [score.shadow for score in scores if score.transaction_id.startswith("b")]
        assert all("lightgbm-1" in shadow for shadow in shadows)

        assert fitter.terminate() == 0
        heir = worker(settings, "fit")
        eventually(lambda: heir.metric("fraud_label_offset") == 499, describe="every label read again")
        assert heir.metric("fraud_fits_total") == 0, "the schedule goes on from the last offer"
        assert heir.metric("fraud_fit_timestamp_seconds") > 0
        more = transactions(900)[500:]
        pipeline.publish(more)
        pipeline.scores(more)
        pipeline.publish(labels(more))
        eventually(lambda: main.metric("fraud_offers_total", decision="admitted") == 2)
        assert "lightgbm-1" in roster(pipeline)
        assert "lightgbm-2" not in roster(pipeline)

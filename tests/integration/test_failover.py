"""Workers that are killed, stopped and paused under load: nothing is lost, nothing is counted twice."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from stream.features.catalogue import SCHEMA
from stream.pipeline.learning import Learner
from stream.pipeline.verdicts import unpack_verdicts
from stream.records import Transaction
from stream.registry.checkpoint import decode_checkpoint
from stream.settings import Settings
from tests.services.pipeline import Pipeline, decode_score
from tests.services.traffic import labels, transactions
from tests.services.uninterrupted import Uninterrupted
from tests.services.waiting import eventually
from tests.services.worker import Worker

Deploy = Callable[..., Settings]
Start = Callable[..., Worker]

FAST = {
    "partitions": 4,
    # Small, so that some thousand records take long enough to be stopped among them.
    "batch_records": 10,
    "session_timeout_seconds": 6,
    "checkpoint_seconds": 3,
    "snapshot_labels": 200,
    "snapshot_seconds": 1e6,
}


@pytest.mark.service("redis")
def test_killed_workers_lose_nothing_and_end_where_an_uninterrupted_run_ends(
    deploy: Deploy, worker: Start
) -> None:
    labelled, unlabelled = transactions(3_000, "a"), transactions(6_000, "b")
    known = labels(labelled)
    # The run that it is compared with has one partition: by budget, it would alert on others.
    with Pipeline(deploy(decision="threshold", **FAST)) as pipeline:
        scorer, learner = (worker(pipeline.settings, role, timeout=None) for role in ("score", "learn"))
        pipeline.publish(labelled)
        pipeline.await_scored(3_000)
        pipeline.publish(known[:1_000])
        eventually(lambda: pipeline.learner_keys("k"), describe="a checkpoint")
        # Labels of one population, transactions of another: what is learnt when does not change a feature.
        pipeline.publish([*unlabelled, *known[1_000:2_000]])
        committed: dict[int, int] = {}

        def committed_past_the_checkpoint() -> bool:
            nonlocal committed
            committed = pipeline.committed(pipeline.topics.labels, "learn")
            return committed[0] > _checkpointed(pipeline).offset + 1

        _kill_when(scorer, lambda: pipeline.scored() >= 4_000)
        _kill_when(learner, committed_past_the_checkpoint)
        learnt = pipeline.learnt()
        assert pipeline.scored() < 9_000, "killed too late"
        pipeline.publish(known[2_000:])
        redelivered = _between(pipeline, pipeline.committed(pipeline.topics.transactions, "score"))

        scorer, learner = (worker(pipeline.settings, role, timeout=None) for role in ("score", "learn"))
        pipeline.await_scored(9_000)
        pipeline.await_learnt(3_000)
        answers = pipeline.scores(labelled + unlabelled)
        assert scorer.metric("fraud_transactions_total", outcome="redelivered") == len(redelivered)
        assert learner.terminate() == 0
        ended = _checkpointed(pipeline).learner

        whole = Uninterrupted(pipeline.settings)
        whole.score(labelled)
        whole.learn(known)
        whole.score(unlabelled)

        assert answers.keys() == whole.pending.keys()
        again = {name for name, given in answers.items() if len(given) > 1}
        assert again <= redelivered
        assert all(len(set(given)) == 1 for given in answers.values()), "an answer differs from the first"
        for name, given in answers.items():
            assert decode_score(given[0]).features == tuple(whole.pending[name].vector.tolist())
        assert pipeline.customers() == whole.customers()

        assert "continuing from a checkpoint at label offset" in learner.tail()
        assert 0 < _resumed_at(learner) + 1 < committed[0] <= learnt
        assert pipeline.verdicts() == whole.verdicts()
        assert pipeline.learner_keys("t") == whole.risks("terminal")
        assert pipeline.learner_keys("c") == whole.risks("customer")
        assert {len(unpack_verdicts(said)) for said in pipeline.verdicts().values()} == {1}
        assert _knowledge(ended) == _knowledge(whole.learner)


@pytest.mark.service("redis")
def test_scorers_hand_over_when_one_stops_or_is_replaced_in_its_sleep_or_is_killed(
    topics: Deploy, worker: Start
) -> None:
    first, second, third = (transactions(4_000, name) for name in "abc")
    # Faust lets everybody keep up to the share rounded up: of 4 partitions, the last of three may get none.
    with Pipeline(topics(**FAST | {"partitions": 6})) as pipeline:
        roles = ("learn", "score", "score", "score")
        learner, stopped, sleeper, killed = (worker(pipeline.settings, role, timeout=None) for role in roles)
        _await_shared(stopped, sleeper, killed)

        pipeline.publish(first)
        pipeline.await_scored(1_000)
        stopped.ask_to_stop()
        assert pipeline.scored() < 4_000, "stopped too late"
        pipeline.await_scored(4_000)
        eventually(lambda: stopped.returncode == 0, describe=stopped.tail)
        assert {len(given) for given in pipeline.scores(first).values()} == {1}
        _await_shared(sleeper, killed)

        pipeline.publish(second)
        pipeline.await_scored(5_000)
        sleeper.pause()
        assert pipeline.scored() < 8_000, "paused too late"
        pipeline.await_scored(8_000)
        sleeper.resume()
        _await_shared(sleeper, killed)

        pipeline.publish(third)
        pipeline.await_scored(9_000)
        killed.kill()
        assert pipeline.scored() < 12_000, "killed too late"
        pipeline.await_scored(12_000)

        assert sleeper.metric("fraud_assigned_partitions", role="score") == 6
        assert (learner.returncode, sleeper.returncode) == (None, None)
        everything = first + second + third
        whole = Uninterrupted(pipeline.settings)
        whole.score(everything)
        answers = pipeline.scores(everything)
        assert answers.keys() == whole.pending.keys()
        for name, given in answers.items():
            assert len(set(given)) == 1, "an answer differs from the first"
            assert decode_score(given[0]).features == tuple(whole.pending[name].vector.tolist())
        assert pipeline.customers() == whole.customers()


@pytest.mark.service("redis")
def test_a_worker_that_is_fenced_off_by_one_that_was_late_has_its_partitions_dealt_anew(
    topics: Deploy, worker: Start
) -> None:
    first, second = (transactions(500, name) for name in "ab")
    known = labels(first)
    with Pipeline(topics(**FAST)) as pipeline:
        learner, scorer = (worker(pipeline.settings, role, timeout=None) for role in ("learn", "score"))
        pipeline.publish(first)
        pipeline.await_scored(500)
        # What a worker does that took its time over an assignment which had been replaced meanwhile.
        pipeline.store.take_partition(2)
        pipeline.store.take_learner()
        pipeline.publish([*second, *known])
        pipeline.await_scored(1_000)
        pipeline.await_learnt(500)

        assert scorer.metric("fraud_fenced_total", role="score") >= 1
        assert learner.metric("fraud_fenced_total", role="learn") >= 1
        assert (learner.returncode, scorer.returncode) == (None, None)
        # Given out anew, partitions begin where they were committed, which is once a second.
        answers = pipeline.scores(first + second)
        assert all(len(set(given)) == 1 for given in answers.values()), "an answer differs from the first"


def _await_shared(*scorers: Worker) -> None:
    """Wait until scorers are ready and have all 6 partitions among them, each its share."""

    def shared() -> bool:
        if not all(scorer.is_ready() for scorer in scorers):
            return False
        held = [scorer.metric("fraud_assigned_partitions", role="score") for scorer in scorers]
        return sum(held) == 6 and max(held) == min(held)

    eventually(shared, describe="scorers with a share of the partitions each")


def _kill_when(victim: Worker, due: Callable[[], bool]) -> None:
    """Kill a worker as soon as its condition holds."""
    eventually(due, every=0.01, describe="a worker far enough to be killed")
    victim.kill()


def _between(pipeline: Pipeline, committed: dict[int, int]) -> set[str]:
    """Return the transactions whose effects are stored and whose offsets are not committed."""
    done = pipeline.store.transactions_done(pipeline.settings.partitions)
    return {
        msgspec.json.decode(record.value or b"", type=Transaction).transaction_id
        for record in pipeline.read(pipeline.topics.transactions)
        if committed[record.partition] <= record.offset <= done[record.partition]
    }


def _checkpointed(pipeline: Pipeline) -> Any:
    return decode_checkpoint(pipeline.learner_keys("k")["0"], None, SCHEMA)


def _resumed_at(learner: Worker) -> int:
    return int(learner.tail().partition("checkpoint at label offset ")[2].split()[0])


def _knowledge(learner: Learner) -> dict[str, Any]:
    """Return everything that decides on coming scores, swaps and reports."""
    models = {}
    for version, contender in learner.field.contenders.items():
        meta, arrays = contender.model.compile().to_parts()
        plain = {name: array.tolist() for name, array in arrays.items()}
        models[version] = (contender.model.learned, contender.model.frauds_learned, meta, plain)
    return {
        "models": models,
        "champion": learner.field.champion,
        "learned": learner.learned,
        "offset": learner.offset,
        "swaps": learner.swaps,
        "quality": {version: judged._asdict() for version, judged in learner.quality().items()},
    }

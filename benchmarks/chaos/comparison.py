"""The comparison of what came out with what an undisturbed run over the same input comes to."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from benchmarks.chaos.deployment import Deployment
from benchmarks.chaos.digest import digest
from benchmarks.chaos.undisturbed import Learnt, Scored, learn, read_log, score
from stream.features.catalogue import SCHEMA
from stream.pipeline.verdicts import unpack_verdicts
from stream.records import DeadLetter, Record, Score
from stream.registry.checkpoint import decode_checkpoint
from tests.services.pipeline import Pipeline

_A_MATTER_OF_WHEN: Final = ("snapshot", "_published", "_publication")
"""Attributes of a learner that count what it has handed out: a restart hands out once more."""


class Comparison(NamedTuple):
    """What the disturbed run came to, in numbers."""

    transactions: int
    """Valid ones, each counted once."""
    input_lost: int
    """Records that were published, and acknowledged by the broker, and are not on their topic."""
    redelivered_answers: int
    """Answers beyond the first of each transaction."""
    missing_scores: int
    contradicting_answers: int
    """Transactions whose answers are not all the same bytes."""
    wrong_features: int
    """Transactions that were scored on other features than undisturbed."""
    missing_alerts: int
    duplicate_effects: int
    """Customers whose state is another than undisturbed."""
    poison: int
    poison_lost: int
    """Records that cannot be used and are not among the dead letters, or not whole."""
    wrong_dead_letters: int
    """Dead letters of records that could be used."""
    labels: int
    """All records of `labels`."""
    labels_lost: int
    labels_learned_twice: int
    wrong_verdicts: int
    wrong_risks: int
    model_digest: str
    model_digest_undisturbed: str
    model_digest_equal: bool


MUST_BE_NOUGHT: Final = {
    "input_lost": "records that the broker had acknowledged are not on their topic",
    "missing_scores": "transactions have no score",
    "contradicting_answers": "transactions were answered in two ways",
    "wrong_features": "transactions were scored on other features than in the undisturbed run",
    "missing_alerts": "alerts are missing from their topic",
    "duplicate_effects": "customers' states differ from those of the undisturbed run",
    "poison_lost": "unusable records are not whole among the dead letters",
    "wrong_dead_letters": "dead letters hold records that could have been used",
    "labels_lost": "labels were lost",
    "labels_learned_twice": "labels were learnt twice",
    "wrong_verdicts": "verdicts differ from those of the undisturbed run",
    "wrong_risks": "risk records differ from those of the undisturbed run",
}
"""Fields that must be 0, and what it means when one is not."""


def compare(deployment: Deployment) -> Comparison:
    """Compare; every worker has ended, the learner in order."""
    settings, topics, broker = deployment.settings, deployment.topics, deployment.kafka.bootstrap
    with Pipeline(settings) as pipeline:
        found: Counter[str] = Counter()
        scored = score(settings, _counted(read_log(broker, topics.transactions), found))
        labels = _counted(read_log(broker, topics.labels), found)
        learnt = learn(settings, labels, pipeline.pendings(), pipeline.lineups())
        answers = _read_answers(read_log(broker, topics.scores), scored)
        alerted = {_decode(record).transaction_id for record in read_log(broker, topics.alerts)}
        letters = [
            msgspec.json.decode(record.value or b"", type=DeadLetter)
            for record in read_log(broker, topics.dead_letters)
        ]
        dead = scored.dead | learnt.dead
        whole = _whole_letters(broker, letters)
        ended = decode_checkpoint(pipeline.learner_keys("k")["0"], None, SCHEMA).learner
        verdicts = pipeline.verdicts()
        risks = {("terminal", name): record for name, record in pipeline.learner_keys("t").items()} | {
            ("customer", name): record for name, record in pipeline.learner_keys("c").items()
        }
        digests = [digest(one, _A_MATTER_OF_WHEN) for one in (ended, learnt.learner)]
        return Comparison(
            transactions=len(scored.features),
            input_lost=(deployment.load.published - found).total(),
            redelivered_answers=answers.number - len(answers.firsts),
            missing_scores=len(scored.features.keys() - answers.firsts.keys()),
            contradicting_answers=len(answers.contradicting),
            wrong_features=len(answers.wrong_features),
            missing_alerts=len(answers.alerts - alerted),
            duplicate_effects=_differences(pipeline.customers(), scored.customers),
            poison=len(dead),
            poison_lost=len(dead - whole),
            wrong_dead_letters=len({(one.topic, one.partition, one.offset) for one in letters} - dead),
            labels=learnt.accepted + len(learnt.dead),
            labels_lost=_lost(verdicts, learnt) + max(0, learnt.learner.learned - ended.learned),
            labels_learned_twice=_twice(verdicts) + max(0, ended.learned - learnt.learner.learned),
            wrong_verdicts=_differences(verdicts, learnt.verdicts),
            wrong_risks=_differences(risks, learnt.risks),
            model_digest=digests[0],
            model_digest_undisturbed=digests[1],
            model_digest_equal=digests[0] == digests[1],
        )


def _counted(records: Iterable[Record], found: Counter[str]) -> Iterator[Record]:
    for record in records:
        found[record.topic] += 1
        yield record


class _Answers(NamedTuple):
    number: int
    firsts: dict[str, bytes]
    """By transaction, a hash of its first answer."""
    contradicting: set[str]
    wrong_features: set[str]
    alerts: set[str]


def _read_answers(records: Iterable[Record], scored: Scored) -> _Answers:
    answers = _Answers(0, {}, set(), set(), set())
    number = 0
    for record in records:
        number += 1
        answer = _decode(record)
        name = answer.transaction_id
        # A hash of this process is enough: nothing of it is kept.
        if answers.firsts.setdefault(name, _short(record.value)) != _short(record.value):
            answers.contradicting.add(name)
        if np.array(answer.features, "<f4").tobytes() != scored.features.get(name):
            answers.wrong_features.add(name)
        if answer.decision == "alert":
            answers.alerts.add(name)
    return answers._replace(number=number)


def _decode(record: Record) -> Score:
    return msgspec.json.decode(record.value or b"", type=Score)


def _short(value: bytes | None) -> bytes:
    return hash(value).to_bytes(8, "little", signed=True)


def _whole_letters(broker: str, letters: list[DeadLetter]) -> set[tuple[str, int, int]]:
    """Return the places of the records that dead letters hold whole."""
    held = {(one.topic, one.partition, one.offset): (one.key, one.value) for one in letters}
    whole = set()
    for topic in sorted({topic for topic, _, _ in held}):
        for record in read_log(broker, topic):
            place = (topic, record.partition, record.offset)
            if place in held and held[place] == (record.key, record.value):
                whole.add(place)
    return whole


def _differences(ours: Mapping[Any, bytes], theirs: Mapping[Any, bytes]) -> int:
    return sum(ours.get(key) != theirs.get(key) for key in ours.keys() | theirs.keys())


def _offsets(verdicts: Mapping[str, bytes]) -> Counter[int]:
    return Counter(said.offset for packed in verdicts.values() for said in unpack_verdicts(packed))


def _lost(verdicts: Mapping[str, bytes], learnt: Learnt) -> int:
    """Count labels that have left no trace, though undisturbed they would have."""
    return len(_offsets(learnt.verdicts).keys() - _offsets(verdicts).keys())


def _twice(verdicts: Mapping[str, bytes]) -> int:
    """Count labels that were applied more than once."""
    return sum(times - 1 for times in _offsets(verdicts).values())

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from stream.adapters.redis_keys import FitterKeys, LearnerKeys, PartitionKeys
from stream.ports import RiskKey

NAMESPACES = st.from_regex(r"[a-z0-9_-]{1,32}", fullmatch=True)
IDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64), max_size=5)


@given(namespace=NAMESPACES, partition=st.integers(0, 1023), ids=IDS)
def test_all_that_a_partition_writes_lies_in_one_slot(namespace: str, partition: int, ids: list[str]) -> None:
    keys = PartitionKeys(namespace, partition)
    written = [keys.fence, keys.watermark, keys.ledger, keys.lineups, keys.generations]
    written += [*keys.customers(ids), *keys.pending(range(3))]
    assert {key_slot(key.encode()) for key in written} == {key_slot(b"%d" % partition)}


@given(namespace=NAMESPACES, ids=IDS)
def test_all_that_the_learner_writes_lies_in_one_slot(namespace: str, ids: list[str]) -> None:
    keys = LearnerKeys(namespace)
    risks: list[RiskKey] = [*(("terminal", id_) for id_ in ids), *(("customer", id_) for id_ in ids)]
    written = [
        *(keys.fence, keys.watermark, keys.roster, keys.revision, keys.snapshot_names, *keys.checkpoints),
        *(keys.generations, *keys.risks(risks), *keys.verdicts(range(3))),
        *(keys.snapshot(id_) for id_ in ids),
        *(keys.staged(7, id_) for id_ in ids),
    ]
    assert {key_slot(key.encode()) for key in written} == {key_slot(b"learner")}


@given(namespace=NAMESPACES)
def test_all_that_the_fitter_writes_lies_in_one_slot(namespace: str) -> None:
    keys = FitterKeys(namespace)
    written = [keys.fence, keys.offer, keys.revision]
    assert {key_slot(key.encode()) for key in written} == {key_slot(b"fitter")}


@given(ids=IDS.map(lambda ids: sorted(set(ids))))
def test_no_two_things_share_a_key(ids: list[str]) -> None:
    learner = LearnerKeys("fraud")
    written = [
        *(learner.fence, learner.watermark, learner.roster, learner.revision, learner.snapshot_names),
        *learner.checkpoints,
        *learner.risks([("terminal", id_) for id_ in ids]),
        *learner.risks([("customer", id_) for id_ in ids]),
        *(learner.generations, *learner.verdicts(range(3))),
        *(learner.snapshot(id_) for id_ in ids),
        *(learner.staged(7, id_) for id_ in ids),
    ]
    fitter = FitterKeys("fraud")
    written += [fitter.fence, fitter.offer, fitter.revision]
    for partition in (0, 1, 11):
        keys = PartitionKeys("fraud", partition)
        written += [keys.fence, keys.watermark, keys.ledger, keys.lineups, keys.generations]
        written += [*keys.customers(ids), *keys.pending(range(3))]
    assert len(written) == len(set(written))


@pytest.mark.parametrize(
    ("key", "golden"),
    [
        (PartitionKeys("fraud", 0).fence, "fraud:{0}:f"),
        (PartitionKeys("fraud", 0).watermark, "fraud:{0}:w"),
        (PartitionKeys("fraud", 0).ledger, "fraud:{0}:b"),
        (PartitionKeys("fraud", 12).customers(["c:1"])[0], "fraud:{12}:c:c:1"),
        (PartitionKeys("fraud", 12).lineups, "fraud:{12}:m"),
        (PartitionKeys("fraud", 12).generations, "fraud:{12}:g"),
        (PartitionKeys("fraud", 12).pending([7])[0], "fraud:{12}:p:7"),
        (LearnerKeys("eu-1").fence, "eu-1:{learner}:f"),
        (LearnerKeys("eu-1").watermark, "eu-1:{learner}:w"),
        (LearnerKeys("eu-1").risks([("terminal", "x")])[0], "eu-1:{learner}:t:x"),
        (LearnerKeys("eu-1").risks([("customer", "x")])[0], "eu-1:{learner}:c:x"),
        (LearnerKeys("eu-1").generations, "eu-1:{learner}:g"),
        (LearnerKeys("eu-1").verdicts([7])[0], "eu-1:{learner}:v:7"),
        (LearnerKeys("eu-1").roster, "eu-1:{learner}:r"),
        (LearnerKeys("eu-1").revision, "eu-1:{learner}:n"),
        (LearnerKeys("eu-1").snapshot_names, "eu-1:{learner}:s"),
        (LearnerKeys("eu-1").snapshot("x"), "eu-1:{learner}:s:x"),
        (LearnerKeys("eu-1").staged(7, "x"), "eu-1:{learner}:x:7:x"),
        (LearnerKeys("eu-1").checkpoints[0], "eu-1:{learner}:k:0"),
        (FitterKeys("eu-1").fence, "eu-1:{fitter}:f"),
        (FitterKeys("eu-1").offer, "eu-1:{fitter}:o"),
        (FitterKeys("eu-1").revision, "eu-1:{fitter}:n"),
    ],
)
def test_keys_are_those_that_other_clients_know(key: str, golden: str) -> None:
    assert key == golden

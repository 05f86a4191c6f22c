import pickle

from stream.clock import HOUR_MS
from stream.pipeline.label_sources import SUSPECT_SCORE, LabelSources, Remarkable, is_learnt
from stream.records import Label, Record

LOW, HIGH = SUSPECT_SCORE / 2, 0.4


def label(number: int, source: str = "analyst") -> Label:
    return Label(transaction_id=f"t{number}", is_fraud=True, source=source, label_time=0)  # type: ignore[arg-type]


def places(*timestamps: int) -> list[Record]:
    return [Record("labels", 0, offset, timestamp, None, b"") for offset, timestamp in enumerate(timestamps)]


def test_what_exceeds_a_sources_rate_is_told_by_its_offset_and_a_new_hour_begins_anew() -> None:
    labels = [label(n) for n in range(4)]
    at = places(0, 1, 2, HOUR_MS)
    assert LabelSources().excess(labels, at, {"analyst": 2}) == {2}
    assert LabelSources().excess(labels, at, {"chargeback": 2}) == set()
    assert LabelSources().excess(labels, at, {}) == set()


def test_sources_do_not_use_up_each_others_rate() -> None:
    labels = [label(0), label(1, "chargeback"), label(2), label(3, "chargeback")]
    assert LabelSources().excess(labels, places(0, 0, 0, 0), {"analyst": 1, "chargeback": 1}) == {2, 3}


def test_an_hour_that_is_past_does_not_come_back() -> None:
    sources = LabelSources()
    assert sources.admits("analyst", 5 * HOUR_MS, most=1)
    assert not sources.admits("analyst", HOUR_MS, most=1)
    assert not sources.admits("analyst", 5 * HOUR_MS, most=1)


def test_who_starts_again_decides_as_before() -> None:
    sources = LabelSources()
    sources.admits("analyst", 0, most=2)
    again = pickle.loads(pickle.dumps(sources))  # noqa: S301 - our own
    assert [again.admits("analyst", 1, most=2) for _ in range(2)] == [True, False]


def test_a_source_whose_frauds_become_unlikely_is_remarkable_and_stays_so() -> None:
    sources = LabelSources()
    usual = [("chargeback", LOW if n % 20 == 0 else HIGH) for n in range(400)]
    assert sources.watch(usual) == []  # type: ignore[arg-type]
    poisoned = [("chargeback", LOW if n % 2 == 0 else HIGH) for n in range(200)]
    for _ in range(2):
        (one,) = sources.watch(poisoned)  # type: ignore[arg-type]
        assert one == Remarkable("chargeback", 0.5, 0.05)
    assert sources.watch(usual) == []  # type: ignore[arg-type]


def test_a_share_of_a_sources_labels_is_learnt_always_the_same() -> None:
    labels = [label(n) for n in range(2_000)]
    learnt = [is_learnt(one, {"analyst": 0.25}) for one in labels]
    assert 400 < sum(learnt) < 600
    assert learnt == [is_learnt(one, {"analyst": 0.25}) for one in labels]
    assert all(is_learnt(one, {"chargeback": 0.0}) for one in labels)

from hypothesis import given
from hypothesis import strategies as st

from stream.clock import DAY_MS
from stream.features.reports import Report, add_reports
from stream.features.risk import RiskRecord, correct_label, learn_label, pack_risks, unpack_risks

START = 19_700 * DAY_MS
times = st.integers(0, 80 * DAY_MS).map(lambda offset: START + offset)
reports = st.builds(
    Report, st.booleans(), st.booleans(), times, times, st.floats(0, 1e9, width=32), st.booleans()
)


def one_by_one(records: dict[str, RiskRecord], said: list[tuple[str, Report]]) -> None:
    for name, report in said:
        record = records.setdefault(name, RiskRecord())
        if report.corrects:
            correct_label(record, is_fraud=report.is_fraud, label_time=report.label_time)
        else:
            learn_label(
                record,
                is_fraud=report.is_fraud,
                label_time=report.label_time,
                event_time=report.event_time,
                ratio=report.ratio,
                explained=report.explained,
            )


@given(st.lists(st.lists(st.tuples(st.sampled_from("abcd"), reports), max_size=30), max_size=4))
def test_many_are_added_as_one_by_one_to_the_last_bit(batches: list[list[tuple[str, Report]]]) -> None:
    stored: dict[str, bytes] = {}
    records: dict[str, RiskRecord] = {}
    for batch in batches:
        changed = add_reports(stored, [name for name, _ in batch], [report for _, report in batch])
        assert changed.keys() == {name for name, _ in batch}
        stored |= changed
        one_by_one(records, batch)
    assert stored == dict(zip(records, pack_risks(records.values()), strict=True))


def test_a_days_labels_stop_where_their_count_would() -> None:
    full = RiskRecord(frauds=[65_535] * 30, labels=[65_535] * 30, day=START // DAY_MS)
    for corrects in (False, True):
        report = Report(True, corrects, START, START, 1.0, False)
        (packed,) = add_reports({"a": pack_risks([full])[0]}, ["a"], [report]).values()
        (record,) = unpack_risks([packed])
        assert (record.frauds[0], record.labels[0]) == (65_535, 65_535)

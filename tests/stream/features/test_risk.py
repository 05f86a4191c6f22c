from math import isfinite

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.clock import DAY_MS
from stream.errors import SnapshotError
from stream.features.packing import Packing, Rows
from stream.features.risk import (
    NO_CUSTOMER_RISK,
    NO_TERMINAL_RISK,
    RISK,
    RISK_OF_CUSTOMER_FEATURES,
    TERMINAL_FEATURES,
    RiskRecord,
    correct_label,
    customer_risk,
    customer_risks,
    learn_label,
    pack_risk_rows,
    pack_risks,
    risk_records,
    risk_rows,
    terminal_risk,
    terminal_risks,
    unpack_risk_rows,
    unpack_risks,
)
from stream.features.risk_labels import RiskLabels, learn_labels
from tests.stream.features.naive import JudgedLabel, naive_terminal_risk

pytestmark = pytest.mark.usefixtures("both_ways")

START = 19_700 * DAY_MS
times = st.integers(0, 120 * DAY_MS).map(lambda offset: START + offset)
judged = st.builds(JudgedLabel, st.booleans(), times, times, st.floats(0, 100), st.booleans())


def learn(record: RiskRecord, day: float, *, fraud: bool, ratio: float = 1.0, delay: float = 7) -> None:
    event_time = START + round(day * DAY_MS)
    learn_label(
        record,
        is_fraud=fraud,
        label_time=event_time + round(delay * DAY_MS),
        event_time=event_time,
        ratio=ratio,
        explained=ratio >= 2.5,
    )


def known(record: RiskRecord, day: float) -> dict[str, float]:
    return dict(zip(TERMINAL_FEATURES, terminal_risk(record, START + round(day * DAY_MS)), strict=True))


def test_an_empty_record_says_what_no_record_says() -> None:
    assert terminal_risk(RiskRecord(), START) == NO_TERMINAL_RISK
    assert customer_risk(RiskRecord(), START) == NO_CUSTOMER_RISK


@given(st.lists(judged, max_size=60), st.booleans(), times)
def test_every_feature_is_that_of_a_naive_recount(
    labels: list[JudgedLabel], in_order: bool, now: int
) -> None:
    labels = sorted(labels, key=lambda label: label.label_time) if in_order else labels
    record = RiskRecord()
    for label in labels:
        learn_label(record, **label._asdict())
    seen = dict(zip(TERMINAL_FEATURES, terminal_risk(record, now), strict=True))
    naive = naive_terminal_risk(labels, now)
    assert seen == pytest.approx(naive)
    of_customer = dict(zip(RISK_OF_CUSTOMER_FEATURES, customer_risk(record, now), strict=True))
    assert of_customer == pytest.approx(
        {
            "customer_frauds_30d": naive["terminal_frauds_30d"],
            "customer_days_since_fraud": naive["terminal_days_since_fraud"],
        }
    )
    assert all(map(isfinite, (*seen.values(), *of_customer.values())))
    assert len(pack_risks([record])[0]) < 120


def test_a_legitimate_transaction_ends_the_run() -> None:
    record = RiskRecord()
    learn(record, 1, fraud=True)
    learn(record, 2, fraud=True)
    assert known(record, 10)["terminal_fraud_run"] == 2
    assert known(record, 10)["terminal_run_age"] == 9
    learn(record, 3, fraud=False)
    assert known(record, 11)["terminal_fraud_run"] == 0
    assert known(record, 11)["terminal_run_age"] == 0


def test_a_fraud_explained_by_its_amount_says_nothing_of_the_terminal() -> None:
    record = RiskRecord()
    learn(record, 1, fraud=True, ratio=5.0)
    assert known(record, 9)["terminal_fraud_run"] == 0
    assert known(record, 9)["terminal_recent_share"] == 0
    assert known(record, 9)["terminal_frauds_30d"] == 1
    assert known(record, 9)["terminal_last_ratio"] == 5.0
    learn(record, 2, fraud=True)
    assert known(record, 10)["terminal_recent_share"] == 1 / 2


def test_a_terminal_is_forgiven_after_eight_legitimate_labels() -> None:
    record = RiskRecord()
    shares = []
    for fraud in (True, True, *[False] * 8):
        learn(record, 1, fraud=fraud)
        shares.append(known(record, 9)["terminal_recent_share"])
    assert shares == [1 / 2, 2 / 3, 2 / 4, 2 / 5, 2 / 6, 2 / 7, 2 / 8, 2 / 9, 1 / 9, 0]


def test_a_correction_moves_the_count_both_ways() -> None:
    record = RiskRecord()
    learn(record, 1, fraud=False)
    correct_label(record, is_fraud=True, label_time=START + 9 * DAY_MS)
    assert known(record, 9)["terminal_frauds_30d"] == 1
    correct_label(record, is_fraud=False, label_time=START + 9 * DAY_MS)
    assert known(record, 9)["terminal_frauds_30d"] == 0


def test_a_stored_record_is_the_exact_one() -> None:
    record = RiskRecord()
    learn(record, 3, fraud=True, ratio=1.234)
    assert unpack_risks(pack_risks([record])) == [record]


@given(st.lists(st.tuples(st.lists(judged, max_size=20), times), max_size=6))
def test_many_are_described_as_one_by_one_to_the_last_bit(some: list[tuple[list[JudgedLabel], int]]) -> None:
    records = []
    for labels, _ in some:
        records.append(RiskRecord())
        for label in labels:
            learn_label(records[-1], **label._asdict())
    rows = unpack_risk_rows(pack_risks(records))
    now = [one for _, one in some]
    assert unpack_risks(pack_risks(records)) == records
    # Backwards, as transactions come in another order than records lie.
    places, times_of = np.arange(len(some))[::-1].copy(), np.array(now[::-1], np.int64)
    terminals, customers = (of(rows, places, times_of).tolist() for of in (terminal_risks, customer_risks))
    pairs = [*zip(records, now, strict=True)][::-1]
    assert terminals == [list(terminal_risk(record, time)) for record, time in pairs]
    assert customers == [list(customer_risk(record, time)) for record, time in pairs]


@given(
    st.lists(
        st.tuples(st.integers(0, 5) | st.just(0) | st.integers(0, 60), judged, st.booleans()), max_size=90
    ),
    st.sampled_from([0, 1, 60]),
)
def test_a_batch_counts_as_its_labels_do_one_by_one_to_the_last_bit(
    some: list[tuple[int, JudgedLabel, bool]], known: int
) -> None:
    records = [RiskRecord() for _ in range(61)]
    for number, record in enumerate(records[:known]):
        learn(record, number % 9, fraud=number % 3 == 0)
    rows = risk_rows(records).copy()
    for place, label, corrects in some:
        if corrects:
            correct_label(records[place], is_fraud=label.is_fraud, label_time=label.label_time)
        else:
            learn_label(records[place], **label._asdict())
    learn_labels(
        rows,
        np.array([place for place, _, _ in some], np.intp),
        RiskLabels(
            np.array([label.is_fraud for _, label, _ in some], bool),
            np.array([label.label_time for _, label, _ in some], np.int64),
            np.array([label.event_time for _, label, _ in some], np.int64),
            np.array([label.ratio for _, label, _ in some], float),
            np.array([label.explained for _, label, _ in some], bool),
            np.array([corrects for _, _, corrects in some], bool),
        ),
    )
    assert risk_records(rows) == records
    assert pack_risk_rows(rows) == pack_risks(records)


@pytest.mark.parametrize("count", [1, 20])
def test_a_batch_stops_counting_a_days_labels_where_one_by_one_does(count: int) -> None:
    full = RiskRecord(frauds=[65_535] * 30, labels=[65_535] * 30, day=START // DAY_MS)
    empty = RiskRecord(day=START // DAY_MS)
    rows = risk_rows([*[full] * count, *[empty] * count]).copy()
    at, yes = np.full(2 * count, START), np.ones(2 * count, bool)
    places = np.arange(2 * count)
    learn_labels(rows, places, RiskLabels(yes, at, at, np.ones(2 * count), yes, ~yes))
    assert (rows["labels"][:, 0] == [*[65_535] * count, *[1] * count]).all()
    assert (rows["frauds"][:, 0] == [*[65_535] * count, *[1] * count]).all()
    for _ in range(2):
        learn_labels(rows, places, RiskLabels(~yes, at, at, np.ones(2 * count), yes, yes))
    assert (rows["frauds"][:, 0] == [*[65_533] * count, *[0] * count]).all()


def test_a_row_of_zeros_says_what_no_record_says() -> None:
    nothing: Rows = np.zeros(1, RISK)
    one = (np.array([0]), np.array([START]))
    assert terminal_risks(nothing, *one).tolist() == [list(NO_TERMINAL_RISK)]
    assert customer_risks(nothing, *one).tolist() == [list(NO_CUSTOMER_RISK)]


def test_a_days_labels_stop_where_their_count_would() -> None:
    record = RiskRecord(frauds=[65_535] * 30, labels=[65_535] * 30, day=START // DAY_MS + 8)
    learn(record, 1, fraud=True)
    correct_label(record, is_fraud=True, label_time=START + 8 * DAY_MS)
    assert (record.frauds[0], record.labels[0]) == (65_535, 65_535)
    assert unpack_risks(pack_risks([record])) == [record]


@pytest.mark.parametrize(
    ("name", "value"), [("run_start", -1), ("last_fraud", -1), ("recent", 0), ("recent", 512), ("unused", 1)]
)
def test_a_record_that_contradicts_itself_is_refused(name: str, value: int) -> None:
    rows = unpack_risk_rows(pack_risks([RiskRecord(), RiskRecord()]))
    rows[name][1] = value
    with pytest.raises(SnapshotError, match="contradicts itself"):
        unpack_risk_rows(Packing("risk record", RISK, layout=3).pack(rows))

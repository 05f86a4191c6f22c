from hypothesis import given
from hypothesis import strategies as st

from stream.clock import DAY_MS
from stream.features.risk import (
    NO_CUSTOMER_RISK,
    NO_TERMINAL_RISK,
    TERMINAL_FEATURES,
    RiskRecord,
    correct_label,
    customer_risk,
    learn_label,
    pack_risk,
    terminal_risk,
    unpack_risk,
)

START = 19_700 * DAY_MS


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


@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=60), st.integers(7, 90))
def test_reported_frauds_are_those_of_a_naive_recount(labels: list[tuple[int, bool]], now: int) -> None:
    record = RiskRecord()
    labels = sorted(label for label in labels if label[0] + 7 <= now)
    for day, fraud in labels:
        learn(record, day, fraud=fraud)
    seen = known(record, now)
    for name, width in (("terminal_frauds_1d", 1), ("terminal_frauds_7d", 7), ("terminal_frauds_30d", 30)):
        assert seen[name] == sum(fraud and now - width < day + 7 for day, fraud in labels)


def test_a_legitimate_transaction_ends_the_run() -> None:
    record = RiskRecord()
    learn(record, 1, fraud=True)
    learn(record, 2, fraud=True)
    assert known(record, 10)["terminal_fraud_run"] == 2
    assert known(record, 10)["terminal_run_age"] == 9
    learn(record, 3, fraud=False)
    assert known(record, 11)["terminal_fraud_run"] == 0
    assert known(record, 11)["terminal_run_age"] == 0


def test_a_fraud_explained_by_its_amount_does_not_count_towards_the_run() -> None:
    record = RiskRecord()
    learn(record, 1, fraud=True, ratio=5.0)
    assert known(record, 9)["terminal_fraud_run"] == 0
    assert known(record, 9)["terminal_frauds_30d"] == 1
    assert known(record, 9)["terminal_last_ratio"] == 5.0


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
    assert unpack_risk(pack_risk(record)) == record

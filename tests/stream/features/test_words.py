"""What features say to an analyst."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.clock import DAY_MS, HOUR_MS
from stream.columns import Transactions
from stream.features.catalogue import CATALOGUE, FEATURE_NAMES
from stream.features.risk import RiskRecord, learn_label, pack_risks, unpack_risk_rows
from stream.features.words import say
from stream.models.compiled import Constant
from stream.pipeline.decision import ByThreshold
from stream.pipeline.scoring import BatchState, Served, score_batch
from stream.records import Transaction

START = 1_700_000_000_000
UNSEEN = {feature.name: feature.default or 0.0 for feature in CATALOGUE}
KNOWN = UNSEEN | {
    "amount": 420.0,
    "amount_ratio": 8.4,
    "amount_zscore": 6.1,
    "customer_count_7d": 14.0,
    "customer_count_30d": 63.0,
    "max_ratio_14d": 2.8,
}


@pytest.mark.parametrize(
    ("feature", "values", "text"),
    [
        ("amount", {}, "amount 420.00, usually 50.00"),
        ("amount", {"amount_ratio": 100.0}, "amount 420.00"),
        ("hour_of_day", {"hour_of_day": 3.25}, "at 03:15 UTC"),
        ("hour_of_day", {"hour_of_day": 23.9999}, "at 23:59 UTC"),
        ("customer_count_2h", {"customer_count_2h": 3.0}, "3 transactions in 2 h, usually 2.1 a day"),
        ("customer_count_1d", {"customer_count_1d": 12.0}, "12 transactions in 24 h, usually 2.1"),
        ("customer_count_1d", {"customer_count_1d": 1.0}, "1 transaction in 24 h, usually 2.1"),
        ("customer_count_1d", {}, "no transaction in 24 h, usually 2.1"),
        (
            "customer_count_1d",
            {"customer_count_1d": 5.0, "customer_count_7d": 9.0, "customer_count_30d": 9.0},
            "5 transactions in 24 h, 9 in 30 days",
        ),
        ("customer_count_7d", {}, "14 transactions in 7 days, usually 14.7"),
        ("customer_count_30d", {}, "63 transactions in 30 days"),
        ("customer_mean_7d", {"customer_mean_7d": 52.1}, "mean amount 52.10 over 7 days, usually 50.00"),
        ("customer_mean_7d", {"customer_count_7d": 0.0}, "no transaction in 7 days"),
        (
            "spend_ratio_1d",
            {"spend_ratio_1d": 9.4},
            "spending today, with this amount, 9.4 times that of the customer's usual day",
        ),
        (
            "spend_ratio_1d",
            {"spend_ratio_1d": 100.0},
            "spending today, with this amount, at least 100 times that of the customer's usual day",
        ),
        ("amount_ratio", {}, "amount 420.00, 8.4 times the customer's usual 50.00"),
        ("amount_ratio", {"amount_ratio": 42.0}, "amount 420.00, 42 times the customer's usual 10.00"),
        (
            "amount_ratio",
            {"amount_ratio": 100.0},
            "amount 420.00, at least 100 times the customer's usual amount",
        ),
        ("amount_ratio", {"amount_ratio": 0.4}, "amount 420.00, 40% of the customer's usual 1050.00"),
        ("amount_ratio", {"amount_ratio": 1.01}, "amount 420.00, about the customer's usual 415.84"),
        (
            "amount_ratio",
            {"amount": 0.0, "amount_ratio": 0.0},
            "amount 0.00, less than 1% of the customer's usual amount",
        ),
        (
            "amount_ratio",
            {"amount": 1e12, "amount_ratio": 50.0},
            "amount 1,000,000,000,000, 50 times the customer's usual 20,000,000,000",
        ),
        ("amount_zscore", {}, "amount 420.00, 6.1 standard deviations above the customer's usual 50.00"),
        (
            "amount_zscore",
            {"amount": 5.0, "amount_ratio": 0.1, "amount_zscore": -1.5},
            "amount 5.00, 1.5 standard deviations below the customer's usual 50.00",
        ),
        ("amount_zscore", {"amount_zscore": -0.01}, "amount 420.00, about the customer's usual 50.00"),
        (
            "amount_zscore",
            {"amount_zscore": 50.0, "amount_ratio": 100.0},
            "amount 420.00, 50 or more standard deviations above the customer's usual amount",
        ),
        (
            "hours_since_last",
            {"hours_since_last": 0.05},
            "3 min after the customer's last transaction, usually every 11 h",
        ),
        (
            "hours_since_last",
            {"hours_since_last": 0.0},
            "less than a minute after the customer's last transaction, usually every 11 h",
        ),
        (
            "hours_since_last",
            {"hours_since_last": 100.0},
            "4 days after the customer's last transaction, usually every 11 h",
        ),
        (
            "hour_share",
            {"hour_share": 0.02, "hour_of_day": 3.2},
            "between 03:00 and 06:00 UTC, when this customer makes about 2% of their transactions",
        ),
        ("high_count_14d", {}, "no unusually high amount of the customer in 14 days"),
        ("high_count_14d", {"high_count_14d": 1.0}, "1 unusually high amount of the customer in 14 days"),
        ("high_count_14d", {"high_count_14d": 2.0}, "2 unusually high amounts of the customer in 14 days"),
        ("max_ratio_14d", {}, "the customer's largest amount in 14 days was 2.8 times the usual"),
        (
            "ratio_to_max_14d",
            {"ratio_to_max_14d": 3.0},
            "amount 420.00, 3.0 times the customer's largest in 14 days, each against the usual of then",
        ),
        (
            "days_since_high",
            {"days_since_high": 0.25},
            "6.0 h after an unusually high amount of the customer",
        ),
        ("days_since_high", {}, "no unusually high amount of the customer in 30 days"),
        ("new_terminal", {}, "first time at this terminal"),
        ("new_terminal", {"new_terminal": 0.0}, "not known to be new at this terminal"),
        ("new_country", {"new_country": 1.0}, "first time in this country"),
        ("new_country", {}, "no country new to the customer"),
        ("new_category", {"new_category": 1.0}, "first time in this merchant category"),
        ("new_channel", {"new_channel": 1.0}, "first time through this channel"),
        ("terminal_frauds_7d", {}, "no fraud reported at this terminal in 7 days"),
        ("terminal_frauds_7d", {"terminal_frauds_7d": 1.0}, "1 fraud reported at this terminal in 7 days"),
        (
            "terminal_frauds_30d",
            {"terminal_frauds_30d": 7.0},
            "7 frauds reported at this terminal in 30 days",
        ),
        (
            "terminal_fraud_rate_30d",
            {"terminal_frauds_30d": 3.0, "terminal_fraud_rate_30d": 3 / 25},
            "3 frauds among 20 transactions judged at this terminal in 30 days",
        ),
        (
            "terminal_fraud_rate_30d",
            {"terminal_frauds_30d": 1.0, "terminal_fraud_rate_30d": 1 / 6},
            "1 fraud among 1 transaction judged at this terminal in 30 days",
        ),
        ("terminal_fraud_rate_30d", {}, "no fraud reported at this terminal in 30 days"),
        (
            "terminal_recent_share",
            {"terminal_recent_share": 0.5},
            "frauds about 50% of the transactions last judged at this terminal",
        ),
        (
            "terminal_recent_share",
            {},
            "no fraud that its amount does not explain among the last judged at this terminal",
        ),
        ("terminal_fraud_run", {"terminal_fraud_run": 3.0}, "3 frauds in a row at this terminal"),
        (
            "terminal_fraud_run",
            {"terminal_fraud_run": 1.0},
            "a fraud at this terminal, and nothing legitimate known since",
        ),
        (
            "terminal_run_age",
            {"terminal_fraud_run": 2.0, "terminal_run_age": 4.0},
            "nothing legitimate known at this terminal since a fraud 4 days ago",
        ),
        ("terminal_run_age", {}, "no run of frauds at this terminal"),
        ("terminal_days_since_fraud", {}, "no fraud known at this terminal in 60 days"),
        (
            "terminal_days_since_fraud",
            {"terminal_days_since_fraud": 3.0},
            "last known fraud at this terminal 3 days ago",
        ),
        (
            "terminal_last_ratio",
            {"terminal_last_ratio": 5.0},
            "the last fraud at this terminal was 5.0 times its customer's usual amount",
        ),
        ("customer_frauds_30d", {"customer_frauds_30d": 1.0}, "1 fraud reported on this customer in 30 days"),
        (
            "customer_days_since_fraud",
            {"customer_days_since_fraud": 0.5},
            "last known fraud on this customer 12 h ago",
        ),
    ],
)
def test_a_value_reads_well_with_the_customers_own_beside_it(
    feature: str, values: dict[str, float], text: str
) -> None:
    assert say(feature, KNOWN | values) == text


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        ("amount", "amount 30.00"),
        ("amount_ratio", "amount 30.00, the customer's usual as far as that is known"),
        ("amount_zscore", "amount 30.00, the customer's usual as far as that is known"),
        ("customer_count_1d", "no transaction in 24 h"),
        ("customer_mean_7d", "no transaction in 7 days"),
        (
            "spend_ratio_1d",
            "spending today, with this amount, like that of a usual day as far as that is known",
        ),
        ("hours_since_last", "no transaction of the customer in the 30 days before"),
        (
            "hour_share",
            "between 00:00 and 03:00 UTC, as usual for this customer as other hours as far as is known",
        ),
        ("max_ratio_14d", "no amount of the customer in 14 days"),
        ("ratio_to_max_14d", "amount 30.00, with none of the customer in 14 days to compare it with"),
    ],
)
def test_of_an_unseen_customer_nothing_is_claimed(feature: str, text: str) -> None:
    assert say(feature, UNSEEN | {"amount": 30.0}) == text


offsets = st.integers(0, 90 * DAY_MS)
amounts = st.one_of(st.sampled_from([0.0, 0.01, 20.0, 1e12]), st.floats(0, 1e4))


@given(
    st.lists(st.tuples(offsets, amounts), min_size=1, max_size=20),
    st.lists(st.tuples(offsets, st.booleans(), st.booleans()), max_size=12),
)
def test_whatever_comes_every_feature_reads_as_a_sentence_would(
    bought: list[tuple[int, float]], labels: list[tuple[int, bool, bool]]
) -> None:
    record = RiskRecord()
    for offset, is_fraud, explained in labels:
        learn_label(
            record,
            is_fraud=is_fraud,
            label_time=START + offset,
            event_time=START + offset - 7 * HOUR_MS,
            ratio=3.0,
            explained=explained,
        )
    transactions = [
        Transaction(
            transaction_id=f"t{n}",
            event_time=START + offset,
            customer_id="c",
            terminal_id="m",
            amount=amount,
            country="FR" if n % 2 else "DE",
        )
        for n, (offset, amount) in enumerate(bought)
    ]
    columns = Transactions.of(transactions)
    state = BatchState.nothing(columns)
    state.terminals.rows[:] = state.customer_risks[:] = unpack_risk_rows(pack_risks([record]))
    batch = score_batch(columns, state, [Served("calm-1", 1, Constant(0.01))], ByThreshold(0.5), 0)
    for pending in batch.scored.pendings().values():
        row = dict(zip(FEATURE_NAMES, pending.vector.tolist(), strict=True))
        for name in FEATURE_NAMES:
            text = say(name, row)
            assert not re.search(r"nan|inf\b|None|-\d|\s\s|\be[+]\d", text), text
            assert not re.search(r"(?<![\d.,])(0|1) (transactions|frauds|amounts)\b", text), text
            assert not re.search(
                r"(?<![\d.,])([2-9]|\d\d+) (transaction|fraud|unusually high amount)\b", text
            ), text
            assert "24 h UTC" not in text
            assert len(text) < 140

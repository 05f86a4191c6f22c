"""What scorers notice without labels, from the recording to the audit log."""

from collections.abc import Iterator
from datetime import timedelta

import msgspec

from producers.simulator import Simulator
from stream.backtest.run import Backtest
from stream.clock import DAY_MS
from stream.recording import Recorded
from stream.settings import Settings


def inflated(days: int, change: int) -> Iterator[Recorded]:
    """Yield a simulation in which amounts are three times as high, and countries missing, from a day on."""
    stream = Simulator(customers=300, terminals=400, days=days, seed=3)
    begin = None
    for transaction, is_fraud, _ in stream:
        begin = transaction.event_time // DAY_MS if begin is None else begin
        if transaction.event_time // DAY_MS - begin >= change:
            transaction = msgspec.structs.replace(  # noqa: PLW2901 - the same one, changed
                transaction, amount=round(transaction.amount * 3, 2), country=None
            )
        yield Recorded(transaction, is_fraud)


def test_what_has_changed_is_an_event_on_the_day_after() -> None:
    run = Backtest(Settings(champion="logistic", challengers=("tree",)))
    summary = run.run(inflated(14, 11), timedelta(days=7), timedelta(hours=6))
    signals = {event["evidence"]["signal"]: event for event in summary.events if event["kind"] == "signal"}
    assert {"feature_psi", "missing_country"} <= signals.keys()
    gone = signals["missing_country"]
    assert gone["evidence"]["value"] == 1
    assert gone["evidence"]["usual"] < 0.1
    assert gone["model_version"] == "logistic-1"
    begin = summary.first_event_time
    assert begin is not None
    assert gone["event_time"] // DAY_MS - begin // DAY_MS == 12
    assert signals["feature_psi"]["evidence"]["feature"]

"""The batch challenger in a backtest: fitted in another process, and still the same every time."""

from datetime import timedelta

from stream.backtest.run import Backtest, BacktestSummary
from stream.pipeline.pending import Pending
from stream.settings import Settings
from tests.services.drifting import drifting

DAYS = timedelta(days=3)
HOUR = timedelta(hours=1)


def backtest(settings: Settings) -> tuple[BacktestSummary, dict[str, Pending]]:
    served: dict[str, Pending] = {}
    summary = Backtest(settings).run(drifting(), DAYS, HOUR, on_scored=served.update)
    return summary, served


def test_it_is_refitted_on_schedule_scored_in_shadow_and_ends_in_the_same_bits() -> None:
    settings = Settings(batch="on", batch_every_days=4, batch_min_frauds=50, challengers=())
    (first, served), (second, served_again) = backtest(settings), backtest(settings)
    assert served == served_again
    assert first.events == second.events
    happened = [(event["kind"], event["model_version"]) for event in first.events]
    assert happened[0] == ("born", "lightgbm-1")
    # 24 days of which the first 3 have no labels, and some more too few frauds.
    assert happened.count(("refitted", "lightgbm-1")) == first.fits - 1 >= 2
    last = list(served.values())[-1]
    assert {"ensemble-1", "lightgbm-1"} <= set(last.models)
    assert first.average_precision["lightgbm-1"] > 0.2


def test_it_is_off_unless_asked_for() -> None:
    summary, served = backtest(Settings(challengers=()))
    assert summary.fits == 0
    assert not any("lightgbm-1" in pending.models for pending in served.values())

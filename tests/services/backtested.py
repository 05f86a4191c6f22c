"""What a backtest says of a recorded file, to be held against what the pipeline has answered."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from stream.adapters.recorded import RecordedFile
from stream.backtest.run import Backtest, BacktestSummary
from stream.pipeline.pending import Pending
from stream.settings import Settings
from tests.services.pipeline import decode_score


def assert_backtest_agrees(
    settings: Settings,
    file: Path,
    delay: timedelta,
    cadence: timedelta,
    answers: Mapping[str, Sequence[bytes]],
) -> BacktestSummary:
    """Backtest a file, and compare every score with the pipeline's one answer, to the last bit.

    Parameters
    ----------
    settings
        Those that the workers run with.
    file
        That was replayed.
    delay, cadence
        Of its labels.
    answers
        By transaction id.
    """
    served: dict[str, Pending] = {}
    summary = Backtest(settings).run(RecordedFile(file), delay, cadence, on_scored=served.update)
    assert answers.keys() == served.keys()
    for name, pending in served.items():
        [answer] = answers[name]
        score = decode_score(answer)
        assert score.features == tuple(pending.vector.tolist())
        assert (score.model_version, *score.shadow) == pending.models
        assert score.snapshot == pending.snapshot
        assert (score.score, *score.shadow.values()) == pending.scores
        assert (score.decision, score.threshold) == (pending.decision, pending.threshold)
    return summary

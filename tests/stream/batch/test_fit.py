import builtins
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stream.batch.fit import fit, require_lightgbm
from stream.batch.window import TrainingSet
from stream.errors import SettingsError


def sample(rows: int = 4_000, rate: float = 0.2, seed: int = 1) -> TrainingSet:
    """Draw rows of which every tenth is fraud, as a sample of a stream where fewer are."""
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % 10 == 0
    x = np.stack([rng.lognormal(3 + 1.5 * y), rng.normal(1 + y), rng.normal(size=rows)], axis=1)
    return TrainingSet(x.astype(np.float32), y, rate, 0, 1)


def test_the_same_rows_and_seed_give_the_same_bits_and_another_seed_does_not() -> None:
    parts = [fit(one, seed).to_parts() for one, seed in ((sample(), 7), (sample(), 7), (sample(), 8))]
    (metadata, arrays), (metadata_again, arrays_again), (_, others) = parts
    assert metadata == metadata_again
    assert {k: v.tobytes() for k, v in arrays.items()} == {k: v.tobytes() for k, v in arrays_again.items()}
    assert arrays["threshold"].tobytes() != others["threshold"].tobytes()


def test_it_ranks_frauds_first_and_answers_with_the_rate_of_the_stream() -> None:
    model, fresh = fit(sample(rate=0.2), 7), sample(seed=2)
    scores = model.predict(fresh.x.astype(np.float64))
    assert scores[fresh.y].mean() > 3 * scores[~fresh.y].mean()
    # A tenth of the rows are frauds, but four in five of the others were left out.
    stream = 0.1 / (0.1 + 0.9 / 0.2)
    weights = np.where(fresh.y, 1.0, 1.0 / 0.2)
    assert np.average(scores, weights=weights) == pytest.approx(stream, rel=0.15)


def _without(module: str, error: Exception) -> Callable[..., Any]:
    real = builtins.__import__

    def importing(name: str, *rest: Any, **others: Any) -> Any:
        if name == module:
            raise error
        return real(name, *rest, **others)

    return importing


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ModuleNotFoundError("No module named 'lightgbm'"), r"pip install 'fraudstream\[batch\]'$"),
        (OSError("libgomp.so.1: cannot open shared object file"), r"libgomp\.so\.1.*package libgomp1$"),
    ],
)
def test_without_lightgbm_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    monkeypatch.setattr(builtins, "__import__", _without("lightgbm", error))
    with pytest.raises(SettingsError, match=says):
        require_lightgbm()

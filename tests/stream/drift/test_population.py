import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stream.clock import DAY_MS
from stream.drift.population import SIGNALS, Glance, Population, Sign, _rounded_down, count_above

NAMES = ("amount", "hour")
START = 20_000


def day(
    number: int,
    *,
    count: int = 1_000,
    amount: float = 3.0,
    score: float = 0.02,
    missing: float = 0.0,
    models: tuple[str, ...] = ("a-1", "b-1"),
) -> Glance:
    random = np.random.default_rng(number)
    times = (START + number) * DAY_MS + np.sort(random.integers(0, DAY_MS, count))
    features = np.column_stack([random.lognormal(amount, 1, count), random.uniform(0, 24, count)])
    champion = np.clip(random.beta(1, 1 / score, count), 0, 1)
    scores = np.column_stack([champion, np.clip(champion * random.normal(1, 0.1, count), 0, 1)])
    flags = np.zeros((count, 6), bool)
    flags[:, 0] = champion > 0.05
    flags[:, 3] = random.random(count) < missing
    return Glance(times, features.astype(np.float32), scores[:, : len(models)], models, flags)


def watched(*days: Glance) -> tuple[Population, list[Sign]]:
    population = Population(NAMES)
    return population, [sign for one in days for sign in population.observe(one)]


CALM = [day(number) for number in range(20)]


def test_a_calm_month_shows_nothing() -> None:
    population, signs = watched(*(day(number) for number in range(40)))
    assert signs == []
    assert set(population.figures) == set(SIGNALS)
    assert population.features.keys() == set(NAMES)
    assert population.ended == START + 38
    assert population.figures["mean_score"] > 0


@pytest.mark.parametrize("size", [1, 7, 499, 600])
def test_how_a_stream_is_cut_into_batches_changes_nothing(size: int) -> None:
    # The champion changes in the midst of a day, which ends with a batch that a new one begins in.
    stream = [*CALM[:12], day(12, amount=4.0), day(13, models=("c-1",)), day(14)]
    pieces = [one.take(np.arange(1_000) // size == n) for one in stream for n in range(-(-1_000 // size))]
    whole, expected = watched(*stream)
    population, signs = watched(*pieces)
    assert [(sign.signal, sign.day, sign.about) for sign in signs] == [
        (sign.signal, sign.day, sign.about) for sign in expected
    ]
    assert expected
    assert population.figures == pytest.approx(whole.figures)
    assert population.features == whole.features


def test_a_feature_that_moves_is_named() -> None:
    _, signs = watched(*CALM, day(20, amount=4.0), day(21))
    assert [(sign.signal, sign.about, sign.day) for sign in signs] == [("feature_psi", "amount", START + 20)]


def test_scores_that_move_are_noticed() -> None:
    _, signs = watched(*CALM, day(20, score=0.1), day(21))
    assert {"score_psi", "mean_score", "alert_rate"} <= {sign.signal for sign in signs}


def test_another_champion_is_no_shift_of_the_scores() -> None:
    after = [day(number, score=0.1, models=("b-1", "a-1")) for number in range(20, 24)]
    _, signs = watched(*CALM, *after)
    assert signs == []


def test_a_field_that_goes_missing_is_noticed() -> None:
    _, signs = watched(*CALM, day(20, missing=0.2), day(21))
    assert [sign.signal for sign in signs] == ["missing_country"]


def test_how_days_are_cut_into_batches_changes_nothing() -> None:
    whole, _ = watched(*CALM)
    columns = [np.concatenate([getattr(one, name) for one in CALM]) for name in ("event_times", "features")]
    scores, flags = (np.concatenate([getattr(one, name) for one in CALM]) for name in ("scores", "flags"))
    pieces = Population(NAMES)
    for start in range(0, len(scores), 333):
        rows = slice(start, start + 333)
        pieces.observe(Glance(columns[0][rows], columns[1][rows], scores[rows], ("a-1", "b-1"), flags[rows]))
    assert pieces.figures == whole.figures or all(
        abs(pieces.figures[name] - value) < 1e-9 for name, value in whole.figures.items()
    )
    assert pieces.ended == whole.ended


def test_a_day_of_few_transactions_says_nothing() -> None:
    population, signs = watched(*CALM, day(20, count=50, score=0.4), day(21))
    assert signs == []
    assert population.ended == START + 19


def test_the_precision_to_expect_is_the_mean_score_of_the_alerts() -> None:
    population, _ = watched(*CALM)
    alerted = CALM[18].scores[CALM[18].flags[:, 0], 0]
    assert np.isclose(population.figures["expected_precision"], alerted.mean())


def test_a_scorer_without_challengers_has_nobody_to_disagree() -> None:
    population, _ = watched(*(day(number, models=("a-1",)) for number in range(3)))
    assert "disagreement" not in population.figures


def test_nothing_comes_of_an_empty_batch() -> None:
    assert Population(NAMES).observe(day(0, count=0)) == []


def _between(values: list[float], steps: list[int]) -> list[float]:
    """Return numbers that a float32 does not hold, next to those that it does."""
    found = []
    for value, step in zip(values, steps, strict=True):
        found.append(value)
        for _ in range(abs(step)):
            found[-1] = float(np.nextafter(found[-1], np.inf * step))
    return found


@pytest.mark.filterwarnings("ignore:overflow encountered")
@given(st.data())
def test_what_lies_above_edges_is_counted_as_if_compared_one_by_one(data: st.DataObject) -> None:
    count, width, edges = data.draw(st.tuples(st.integers(0, 140), st.integers(1, 4), st.integers(1, 4)))
    some = st.sampled_from([0.0, -0.0, *data.draw(st.lists(st.floats(width=32), max_size=4))])
    features = data.draw(arrays(np.float32, (count, width), elements=some))
    lie = data.draw(st.lists(st.one_of(some, st.floats()), min_size=width * edges, max_size=width * edges))
    steps = data.draw(st.lists(st.integers(-2, 2), min_size=width * edges, max_size=width * edges))
    exact = np.array(_between(lie, steps), np.float64).reshape(width, edges)
    above = count_above(features, _rounded_down(exact))
    assert above.dtype == np.int64
    assert above.tolist() == (features[:, :, None] > exact).sum(axis=0).tolist()

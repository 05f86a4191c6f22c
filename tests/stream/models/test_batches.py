"""However labels are cut into batches, models come to the same bits: those of a row at a time."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.chaos.digest import digest
from stream.models.binned import BinnedLogisticRegression
from stream.models.binned_forest import BinnedForestClassifier
from stream.models.lessons import EVERY_VIEW, Lessons, View
from stream.models.recipes import RECIPES, Recipe
from stream.models.sampling import place, places
from tests.stream.models.naive import NaiveForest, NaiveRegression

Stream = Callable[..., Iterator[tuple[str, dict[str, float], bool]]]
VIEWS: Sequence[frozenset[View]] = (
    EVERY_VIEW,
    frozenset({"all", "matured"}),
    frozenset({"all", "analyst"}),
    frozenset({"analyst"}),
    frozenset({"matured"}),
    frozenset(),
)


def rows(count: int, seed: int, features: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of long tails, whole numbers and missing values, and verdicts that follow from some."""
    random = np.random.default_rng(seed)
    x = np.column_stack([random.lognormal(size=count), *random.integers(0, 9, (features - 1, count))])
    y = random.random(count) < np.where((x[:, 0] > 2) & (x[:, 1] > 5), 0.7, 0.05)
    x[random.random(x.shape) < 0.03] = np.nan
    return x, y


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 1000), cuts=st.sets(st.integers(1, 899), max_size=12))
def test_batches_of_any_size_come_to_the_bits_of_a_row_at_a_time(
    recipe: Recipe, seed: int, cuts: set[int]
) -> None:
    x, y = rows(900, seed)
    x = np.nan_to_num(x)
    views = [VIEWS[number] for number in np.random.default_rng(seed).integers(0, len(VIEWS), len(y))]
    ids = [f"{seed}-{number}" for number in range(len(y))]
    names = tuple("abcdef")
    whole, cut = (recipe.build(seed, names, min_frauds=5) for _ in range(2))
    for one, row, fraud, own in zip(ids, x.tolist(), y.tolist(), views, strict=True):
        whole.learn_row(one, row, fraud, own)
    for begin, end in pairwise(sorted({0, *cuts, len(y)})):
        some = slice(begin, end)
        cut.learn_rows(Lessons(ids[some], x[some], y[some], views[some]))
    assert cut.ready
    assert digest(cut) == digest(whole)


def test_no_labels_teach_nothing() -> None:
    model = RECIPES["ensemble"].build(1, ("a",))
    before = digest(model)
    model.learn_rows(Lessons([], np.zeros((0, 1)), np.zeros(0, bool), []))
    assert digest(model) == before


@pytest.mark.parametrize("seed", range(3))
def test_a_forest_is_its_plain_twin_with_a_batch_at_a_time(seed: int) -> None:
    x, y = rows(6_000, seed)
    random = np.random.default_rng(seed)
    forest = BinnedForestClassifier(trees=5, seed=seed, grace=20, features=0.7)
    twin = NaiveForest(forest, x.shape[1])
    shown, asked = random.random((2, len(y))) < [[0.8], [0.2]]
    expected, said = [], []
    for row, fraud, learns, answers in zip(x.tolist(), y.tolist(), shown, asked, strict=True):
        if answers:
            expected.append(twin.predict(row) if twin.trees else np.nan)
        if learns:
            twin.learn(row, fraud)
    for some in np.array_split(np.arange(len(y)), [1, 3, 30, 700, 2_000, 5_998]):
        said += forest.learn_rows(x[some], y[some], shown[some], asked[some])
    np.testing.assert_array_equal(said, expected)
    assert len(set(expected)) > 500
    assert sum(len(tree.leaves) for tree in forest._trees) > 40
    last = [twin.predict(row) for row in x[:500].tolist()]
    assert [forest.predict_row(row) for row in x[:500].tolist()] == last


def test_a_regression_is_its_plain_twin_with_a_batch_at_a_time() -> None:
    x, y = rows(2_000, 7)
    model = BinnedLogisticRegression(quantiles=8, crossed=4)
    early = 40
    assert y[:early].any()
    every = np.ones(len(y), bool)
    model.learn_rows(x[:early], y[:early], every[:early], ~every[:early])
    assert model.knows
    twin = NaiveRegression(model)
    for row, fraud in zip(x[:early].tolist(), y[:early].tolist(), strict=True):
        twin.learn(row, fraud)
    # Up to the next cut.
    asked = np.random.default_rng(1).random(len(y)) < 0.5
    some = slice(early, 2 * early - 1)
    said = model.learn_rows(x[some], y[some], every[some], asked[some])
    expected = []
    for row, fraud, answers in zip(x[some].tolist(), y[some].tolist(), asked[some], strict=True):
        if answers:
            expected.append(twin.predict(row))
        twin.learn(row, fraud)
    assert said == expected
    assert [model.predict_row(row) for row in x.tolist()] == [twin.predict(row) for row in x.tolist()]


def test_draws_are_those_of_one_transaction_at_a_time() -> None:
    ids = [f"t{number}" for number in range(300)]
    assert places(ids, salt=5).tolist() == [place(name, salt=5) for name in ids]
    lessons = Lessons(ids, np.zeros((300, 1)), np.arange(300) % 3 == 0, [EVERY_VIEW] * 300)
    drawn = lessons.draws(5)
    assert (drawn[::3] == 0.0).all()
    assert drawn[1] == place("t1", salt=5)
    assert lessons.draws(5) is drawn, "found out once for all models"

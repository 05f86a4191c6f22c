import pickle
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.errors import SettingsError
from stream.models.compiled import compiled_from_parts
from stream.models.online import MIN_FRAUDS, OnlineModel
from stream.models.recipes import RECIPES, recipe

NAMES = ("a", "b", "c", "constant")
values = st.one_of(
    st.sampled_from([0.0, -1.0, 1.0, 1e-9, 1e12, -1e12]), st.floats(-100, 100, allow_nan=False)
)
rows = st.lists(st.tuples(values, values, values), min_size=1, max_size=20)


def features(row: tuple[float, ...]) -> dict[str, float]:
    return dict(zip(NAMES, (*row, 7.0), strict=True))


def taught(name: str, *, labels: int = 3000, seed: int = 3) -> OnlineModel:
    """Teach a model that frauds have a large `a`, with some noise."""
    model = recipe(name).build(seed, NAMES)
    draw = random.Random(seed)
    for n in range(labels):
        is_fraud = draw.random() < 0.1
        row = (draw.gauss(3.0 if is_fraud else 0.0, 1.0), draw.gauss(0, 1), draw.expovariate(0.01))
        model.learn_one(f"t{n}", features(row), is_fraud)
    return model


@pytest.fixture(scope="module", params=sorted(RECIPES))
def model(request: pytest.FixtureRequest) -> OnlineModel:
    return taught(request.param)


@given(rows)
def test_compiled_and_river_scores_agree(model: OnlineModel, rows: list[tuple[float, ...]]) -> None:
    x = np.array([list(features(row).values()) for row in rows])
    expected = [model.predict_proba_one(features(row)) for row in rows]
    assert model.compile().predict(x) == pytest.approx(expected, abs=1e-9, rel=0)


@settings(max_examples=30)
@given(
    st.sampled_from(sorted(RECIPES)),
    st.lists(st.tuples(values, values, values, st.booleans()), min_size=1, max_size=120),
    rows,
)
def test_they_agree_whatever_was_learnt(
    name: str, labels: list[tuple[float, float, float, bool]], rows: list[tuple[float, ...]]
) -> None:
    model = recipe(name).build(1, NAMES, min_frauds=0)
    for n, (*row, is_fraud) in enumerate(labels):
        model.learn_one(f"t{n}", features(tuple(row)), is_fraud)
    x = np.array([list(features(row).values()) for row in rows])
    expected = [model.predict_proba_one(features(row)) for row in rows]
    assert model.compile().predict(x) == pytest.approx(expected, abs=1e-9, rel=0)


@given(rows)
def test_a_score_does_not_depend_on_the_rows_beside_it(
    model: OnlineModel, rows: list[tuple[float, ...]]
) -> None:
    compiled = model.compile()
    x = np.array([list(features(row).values()) for row in rows])
    alone = [compiled.predict(one[None, :])[0] for one in x]
    assert compiled.predict(x).tolist() == alone


def test_scores_are_probabilities_that_rank_frauds_first(model: OnlineModel) -> None:
    scores = model.compile().predict(np.array([[4.0, 0, 100, 7.0], [0.0, 0, 100, 7.0]]))
    assert 0 <= scores[1] < 0.2
    assert 2 * scores[1] < scores[0] <= 1


def test_parts_make_the_same_model_again(model: OnlineModel) -> None:
    compiled = model.compile()
    meta, arrays = compiled.to_parts()
    again = compiled_from_parts(compiled.kind, meta, arrays, len(NAMES))
    x = np.random.default_rng(0).normal(1, 2, (50, len(NAMES)))
    assert again.predict(x).tolist() == compiled.predict(x).tolist()
    assert again.contributions(x).tolist() == compiled.contributions(x).tolist()


def test_the_feature_that_matters_pushes_most(model: OnlineModel) -> None:
    pushes = model.compile().contributions(np.array([[4.0, 0.1, 90.0, 7.0]]))[0]
    assert NAMES[int(np.argmax(pushes))] == "a"
    assert abs(pushes[NAMES.index("constant")]) < 1e-12


def test_a_pickled_model_learns_on_to_the_same_bits(model: OnlineModel) -> None:
    kept = pickle.loads(pickle.dumps(model))  # noqa: S301 - our own bytes
    stored = pickle.loads(pickle.dumps(model))  # noqa: S301
    for n in range(200):
        row = features((float(n % 7), float(n % 5), float(n)))
        kept.learn_one(f"x{n}", row, n % 9 == 0)
        stored.learn_one(f"x{n}", row, n % 9 == 0)
    x = np.random.default_rng(1).normal(1, 2, (20, len(NAMES)))
    assert kept.compile().predict(x).tolist() == stored.compile().predict(x).tolist()


def test_a_model_that_has_seen_few_frauds_says_the_base_rate() -> None:
    model = recipe("forest").build(1, NAMES)
    assert model.compile().predict(np.ones((1, 4))).tolist() == [0.005]
    for n in range(MIN_FRAUDS - 1):
        model.learn_one(f"t{n}", features((9.0, 0.0, 0.0)), True)
    assert not model.ready
    low, high = model.compile().predict(np.array([[0.0, 0, 0, 7], [9.0, 0, 0, 7]]))
    assert low == high == model.base_rate


def test_the_sample_of_legitimate_transactions_is_chosen_by_their_ids() -> None:
    once, again = recipe("forest").build(5, NAMES), recipe("forest").build(5, NAMES)
    other = recipe("forest").build(6, NAMES)
    row = features((1.0, 1.0, 1.0))
    chosen = [once.learn_one(f"t{n}", row, False) for n in range(4000)]
    assert chosen == [again.learn_one(f"t{n}", row, False) for n in range(4000)]
    assert chosen != [other.learn_one(f"t{n}", row, False) for n in range(4000)]
    assert 0.18 < np.mean(chosen) < 0.22


def test_an_unknown_recipe_is_a_sentence_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"no recipe 'xgboost'; there are: .*logistic"):
        recipe("xgboost")

"""The law of boosted models: compiled, they say what LightGBM says."""

import copy
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.errors import SnapshotError
from stream.models.boosted import Boosted, boosted_from_lightgbm
from stream.models.compiled import compiled_from_parts
from stream.models.parts import Floats
from stream.models.sampling import corrected

pytestmark = pytest.mark.usefixtures("both_ways")

WIDTH = 4
QUICK = {
    "objective": "binary",
    "num_leaves": 7,
    "min_data_in_leaf": 1,
    "min_sum_hessian_in_leaf": 0.0,
    "use_missing": False,
    "num_threads": 1,
    "verbosity": -1,
}
# Features are float32, and LightGBM takes what lies within 1e-35 of zero for zero.
VALUES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e12, -1e12, 1e-12, 49.99]),
    st.floats(-(2.0**40), 2.0**40, width=32).filter(lambda value: value == 0 or abs(value) > 1e-34),
    st.floats(-3, 3, width=32).filter(lambda value: value == 0 or abs(value) > 1e-34),
)
ROWS = st.tuples(VALUES, VALUES, st.sampled_from([0.0, 1.0]), st.just(4.0))


def trained(x: Floats, y: Any, rounds: int = 10, **parameters: Any) -> lightgbm.Booster:
    dataset = lightgbm.Dataset(x.astype(np.float32), np.asarray(y, dtype=np.float32), free_raw_data=False)
    return lightgbm.train(QUICK | parameters, dataset, rounds)


def compiled(booster: lightgbm.Booster, negative_rate: float = 1.0) -> Boosted:
    return boosted_from_lightgbm(booster.dump_model(), negative_rate)


def matrix(rows: Any) -> Floats:
    return np.asarray(rows, dtype=np.float32).astype(np.float64)


def drawn(count: int, seed: int = 1) -> tuple[Floats, Any]:
    rng = np.random.default_rng(seed)
    y = rng.random(count) < 0.2
    columns = [
        rng.lognormal(3 + 1.5 * y),
        rng.normal(1 + y, 0.5),
        rng.random(count) < 0.2 + 0.5 * y,
        np.full(count, 4.0),
    ]
    return matrix(np.stack(columns, axis=1)), y


@functools.cache
def grown() -> tuple[lightgbm.Booster, Boosted]:
    booster = trained(*drawn(6_000), rounds=60, num_leaves=15, bagging_fraction=0.8, bagging_freq=1)
    return booster, compiled(booster)


@settings(max_examples=60)
@given(
    examples=st.lists(st.tuples(ROWS, st.booleans()), min_size=2, max_size=120),
    asked=st.lists(ROWS, min_size=1, max_size=20),
    rate=st.sampled_from([1.0, 0.2]),
)
def test_compiled_and_lightgbm_agree_on_any_data(examples: list[Any], asked: list[Any], rate: float) -> None:
    rows, y = zip(*examples, strict=True)
    booster = trained(matrix(rows), y, lambda_l2=0.1)
    x = matrix([*asked, *rows])
    theirs = np.asarray(booster.predict(x))
    np.testing.assert_allclose(compiled(booster, rate).predict(x), corrected(theirs, rate), rtol=0, atol=1e-9)


def test_compiled_and_lightgbm_agree_on_a_grown_model() -> None:
    booster, model = grown()
    x = np.vstack([drawn(2_000, seed=2)[0], [[0, 0, 0, 0], [1e12, -1e12, 1, 4], [-1e12, 1e12, 0, 1e12]]])
    scores = model.predict(x)
    np.testing.assert_allclose(scores, booster.predict(x), rtol=0, atol=1e-9)
    assert len(np.unique(scores.round(6))) > 100, "a model that says one thing proves nothing here"


def test_thresholds_themselves_go_the_way_lightgbm_sends_them() -> None:
    booster, model = grown()
    _, arrays = model.to_parts()
    inner = arrays["feature"] >= 0
    splits = list(zip(arrays["feature"][inner], arrays["threshold"][inner], strict=True))
    assert len(splits) > 100
    x = np.tile([20.0, 1.2, 0.0, 4.0], (3 * len(splits), 1))
    for number, (feature, threshold) in enumerate(splits):
        x[3 * number : 3 * number + 3, feature] = (
            np.nextafter(threshold, -np.inf),
            threshold,
            np.nextafter(threshold, np.inf),
        )
    np.testing.assert_allclose(model.predict(x), booster.predict(x), rtol=0, atol=1e-9)


def test_contributions_sum_up_to_the_log_odds_less_those_of_the_average_row() -> None:
    booster, model = grown()
    x, _ = drawn(300, seed=3)
    pushes = model.contributions(x)
    raw = np.asarray(booster.predict(x, raw_score=True))
    np.testing.assert_allclose(pushes.sum(axis=1), raw - model.intercept, rtol=0, atol=1e-9)
    # The last column of LightGBM's own contributions is what it expects of the average row.
    shap = np.asarray(booster.predict(x, pred_contrib=True))
    np.testing.assert_allclose(model.intercept, shap[:, -1], rtol=0, atol=1e-9)
    assert not pushes[:, 3].any(), "a feature that never varies pushes nothing"
    assert np.corrcoef(pushes[:, 0], shap[:, 0])[0, 1] > 0.8


def test_a_row_scores_the_same_bits_in_any_batch() -> None:
    _, model = grown()
    x, _ = drawn(97, seed=4)
    scores, pushes = model.predict(x), model.contributions(x)
    for size in (1, 2, 7, 64):
        cuts = [x[start : start + size] for start in range(0, len(x), size)]
        assert np.concatenate([model.predict(cut) for cut in cuts]).tobytes() == scores.tobytes()
        assert np.vstack([model.contributions(cut) for cut in cuts]).tobytes() == pushes.tobytes()
    assert model.predict(np.asfortranarray(x)).tobytes() == scores.tobytes()
    assert model.predict(x[:0]).shape == (0,)
    assert model.contributions(x[:0]).shape == (0, WIDTH)


def test_one_verdict_only_makes_trees_of_one_leaf() -> None:
    x, _ = drawn(60)
    for verdict in (True, False):
        booster = trained(x, np.full(60, verdict))
        np.testing.assert_allclose(compiled(booster).predict(x), booster.predict(x), rtol=0, atol=1e-9)


def test_scores_are_never_certain() -> None:
    model = one_split(value=[0.0, 1e9, -1e9])
    scores = model.predict(np.array([[0.0, 0, 0, 0], [1.0, 0, 0, 0]]))
    assert ((scores > 0) & (scores < 1)).all()


def test_a_round_trip_through_parts_changes_no_bit() -> None:
    _, model = grown()
    x, _ = drawn(100, seed=5)
    again = compiled_from_parts(model.kind, *model.to_parts(), features=WIDTH)
    assert again.predict(x).tobytes() == model.predict(x).tobytes()
    assert again.contributions(x).tobytes() == model.contributions(x).tobytes()
    (metadata, arrays), (metadata_again, arrays_again) = model.to_parts(), again.to_parts()
    assert metadata == metadata_again
    assert {name: array.tobytes() for name, array in arrays.items()} == {
        name: array.tobytes() for name, array in arrays_again.items()
    }


def one_split(value: list[float]) -> Boosted:
    return Boosted(
        feature=np.array([0, -1, -1], np.int32),
        threshold=np.array([0.5, 0.0, 0.0]),
        child=np.array([1, 0, 0], np.int32),
        value=np.array(value),
        roots=np.array([0], np.int32),
        intercept=0.0,
        negative_rate=1.0,
    )


def nodes(dump: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    waiting = [tree["tree_structure"] for tree in dump["tree_info"]]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [node[side] for side in ("left_child", "right_child") if side in node]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("decision_type", "==", r"a split by '==' cannot be compiled: only '<=' can"),
        ("missing_type", "NaN", r"sends NaN values its own way .* use_missing=false"),
        ("missing_type", "Zero", r"sends Zero values its own way"),
    ],
)
def test_splits_of_another_sort_are_refused(name: str, value: str, says: str) -> None:
    dump = copy.deepcopy(grown()[0].dump_model())
    split = next(itertools.islice((node for node in nodes(dump) if name in node), 5, None))
    split[name] = value
    with pytest.raises(ValueError, match=says):
        boosted_from_lightgbm(dump, 1.0)


def test_lightgbms_own_categorical_and_missing_splits_are_refused() -> None:
    x, y = drawn(2_000)
    by_category = lightgbm.train(QUICK, lightgbm.Dataset(x, y, categorical_feature=[2]), 5)
    with pytest.raises(ValueError, match="a split by '=='"):
        compiled(by_category)
    x[::3, 0] = np.nan
    with pytest.raises(ValueError, match="sends NaN values its own way"):
        compiled(trained(x, y, use_missing=True))


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"objective": "regression"}, "the objective is 'regression'"),
        ({"sigmoid": 2.0}, "the objective is 'binary sigmoid:2'"),
        ({"boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1}, "of averaged trees"),
    ],
)
def test_models_of_another_sort_are_refused(parameters: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        compiled(trained(*drawn(500), **parameters))


Damage = Callable[[dict[str, Any], dict[str, Any]], Any]


def _set(name: str, index: int, value: float) -> Damage:
    def damage(_metadata: dict[str, Any], arrays: dict[str, Any]) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name][index] = value

    return damage


def _replace(name: str, change: Callable[[Any], Any]) -> Damage:
    def damage(_metadata: dict[str, Any], arrays: dict[str, Any]) -> None:
        arrays[name] = change(arrays[name])

    return damage


DAMAGES = {
    "a rate of 0": lambda metadata, _: metadata.update(negative_rate=0.0),
    "a rate above 1": lambda metadata, _: metadata.update(negative_rate=1.5),
    "a rate that is nan": lambda metadata, _: metadata.update(negative_rate=float("nan")),
    "a rate that is a word": lambda metadata, _: metadata.update(negative_rate="0.5"),
    "no rate": lambda metadata, _: metadata.pop("negative_rate"),
    "an infinite intercept": lambda metadata, _: metadata.update(intercept=float("inf")),
    "an absurd intercept": lambda metadata, _: metadata.update(intercept=1e300),
    "an intercept that is true": lambda metadata, _: metadata.update(intercept=True),
    "a column that is not there": _set("feature", 0, WIDTH),
    "a column before the first": _set("feature", 0, -2),
    "a child before its parent": _set("child", 0, 0),
    "a child behind the last node": _set("child", 0, 2**31 - 1),
    "a child in the next tree": _set("child", 0, 40),
    "a child of two parents": _replace(
        "child", lambda array: np.where(array > 0, array.max(), 0).astype("i4")
    ),
    "a value that is nan": _set("value", 1, np.nan),
    "a value that is infinite": _set("value", 1, np.inf),
    "values whose sum overflows": _set("value", 1, 1e308),
    "a value too few": _replace("value", lambda array: array[:-1]),
    "values in a matrix": _replace("value", lambda array: array.reshape(1, -1)),
    "values of half the precision": _replace("value", lambda array: array.astype(np.float32)),
    "no values": lambda _, arrays: arrays.pop("value"),
    "a threshold that is nan": _set("threshold", 0, np.nan),
    "a root that is not first": _set("roots", 0, 1),
    "roots out of order": _replace("roots", lambda array: array[::-1].copy()),
    "no roots": _replace("roots", lambda array: array[:0]),
    "no nodes": _replace("feature", lambda array: array[:0]),
    "indices of eight bytes": _replace("child", lambda array: array.astype(np.int64)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_model_is_refused(damage: Damage) -> None:
    _, model = grown()
    metadata, arrays = model.to_parts()
    metadata, arrays = dict(metadata), dict(arrays)
    damage(metadata, arrays)
    with pytest.raises(SnapshotError, match="a boosted model is damaged: "):
        compiled_from_parts("boosted", metadata, arrays, features=WIDTH)


def test_a_tree_of_absurd_depth_is_refused() -> None:
    # Every second node splits again: 100 levels from 201 nodes.
    count = 201
    inner = np.arange(count) % 2 == 0
    inner[-1] = False
    arrays = {
        "feature": np.where(inner, 0, -1).astype("i4"),
        "threshold": np.zeros(count),
        "child": np.where(inner, np.arange(count) + 1, 0).astype("i4"),
        "value": np.zeros(count),
        "roots": np.array([0], "i4"),
    }
    with pytest.raises(SnapshotError, match="a tree is deeper than 64"):
        compiled_from_parts("boosted", {"negative_rate": 1.0, "intercept": 0.0}, arrays, features=1)

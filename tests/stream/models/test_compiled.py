"""The law of compiled models: they say what River says, whatever was learnt and whatever is asked."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.errors import SnapshotError
from stream.models.blend import Blend
from stream.models.compiled import CompiledModel, Constant, compiled_from_parts
from stream.models.online import OnlineModel
from stream.models.parts import Floats
from stream.models.recipes import RECIPES, Recipe

pytestmark = pytest.mark.usefixtures("both_ways")

Stream = Callable[..., Iterator[tuple[str, dict[str, float], bool]]]

NAMES = ("amount", "ratio", "flag", "constant")

VALUES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e12, -1e12, 1e-12, 5e-324, 49.99]),
    st.floats(-1e12, 1e12, allow_nan=False),
    st.floats(-3, 3, allow_nan=False),
)
ROWS = st.tuples(VALUES, VALUES, st.sampled_from([0.0, 1.0]), st.just(4.0))
EXAMPLES = st.lists(st.tuples(ROWS, st.booleans()), max_size=120)
SLOW = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

every_recipe = pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))


def taught(recipe: Recipe, examples: list[Any], *, min_frauds: int = 0, repeats: int = 1) -> OnlineModel:
    model = recipe.build(3, NAMES, min_frauds=min_frauds)
    for turn in range(repeats):
        for number, (row, y) in enumerate(examples):
            model.learn_one(f"{turn}-{number}", dict(zip(NAMES, row, strict=True)), y)
    return model


def by_river(model: OnlineModel, x: Floats) -> Floats:
    return np.array([model.predict_proba_one(dict(zip(NAMES, row, strict=True))) for row in x.tolist()])


def blended(model: OnlineModel) -> Blend:
    compiled = model.compile()
    assert isinstance(compiled, Blend)
    return compiled


def rebuilt(compiled: CompiledModel) -> CompiledModel:
    return compiled_from_parts(compiled.kind, *compiled.to_parts(), features=len(NAMES))


def matrix(stream: Stream, count: int = 600, seed: int = 99) -> Floats:
    return np.array([list(x.values()) for _, x, _ in stream(count, seed=seed)])


@functools.cache
def grown_once(name: str) -> OnlineModel:
    """Return a model that has seen enough to have something to say."""
    rng = np.random.default_rng(5)
    model = RECIPES[name].build(3, NAMES)
    for number in range(6_000):
        y = bool(rng.random() < 0.2)
        row = (rng.lognormal(3 + 1.5 * y), rng.normal(1 + y, 0.5), float(rng.random() < 0.2 + 0.5 * y), 4.0)
        model.learn_one(str(number), dict(zip(NAMES, row, strict=True)), y)
    return model


@pytest.fixture(params=list(RECIPES))
def grown(request: pytest.FixtureRequest) -> OnlineModel:
    return grown_once(request.param)


@every_recipe
@SLOW
@given(examples=EXAMPLES, asked=st.lists(ROWS, min_size=1, max_size=20), repeats=st.sampled_from([1, 8]))
def test_compiled_and_river_agree_on_any_stream(
    recipe: Recipe, examples: list[Any], asked: list[Any], repeats: int
) -> None:
    model = taught(recipe, examples, repeats=repeats)
    x = np.array(asked)
    np.testing.assert_allclose(model.compile().predict(x), by_river(model, x), rtol=0, atol=1e-9)


@every_recipe
@pytest.mark.parametrize("verdict", [True, False])
def test_compiled_and_river_agree_after_one_class_only(recipe: Recipe, verdict: bool) -> None:
    model = taught(recipe, [((float(n), -float(n), 1.0, 4.0), verdict) for n in range(300)])
    x = np.array([[0.0, 0.0, 0.0, 0.0], [1e12, -1e12, 1.0, 4.0]])
    np.testing.assert_allclose(model.compile().predict(x), by_river(model, x), rtol=0, atol=1e-9)


def test_compiled_and_river_agree_on_a_grown_model(grown: OnlineModel, stream: Stream) -> None:
    x = np.vstack([matrix(stream), [[0, 0, 0, 0], [1e12, -1e12, 1, 4], [-1e12, 1e12, 0, 1e12]]])
    scores = grown.compile().predict(x)
    np.testing.assert_allclose(scores, by_river(grown, x), rtol=0, atol=1e-9)
    assert len(np.unique(scores.round(6))) > 2, "a model that says one thing proves nothing here"


@pytest.mark.parametrize("name", ["forest", "tree", "arf"])
def test_thresholds_themselves_go_the_way_river_sends_them(name: str) -> None:
    grown = grown_once(name)
    compiled = grown.compile()
    _, arrays = blended(grown).members[0].to_parts()
    inner = arrays["feature"] >= 0
    splits = list(zip(arrays["feature"][inner], arrays["threshold"][inner], strict=True))
    assert splits
    x = np.tile([20.0, 1.2, 0.0, 4.0], (3 * len(splits), 1))
    for number, (feature, threshold) in enumerate(splits):
        x[3 * number : 3 * number + 3, feature] = (
            np.nextafter(threshold, -np.inf),
            threshold,
            np.nextafter(threshold, np.inf),
        )
    np.testing.assert_allclose(compiled.predict(x), by_river(grown, x), rtol=0, atol=1e-9)


def test_a_row_scores_the_same_bits_in_any_batch(grown: OnlineModel, stream: Stream) -> None:
    compiled = grown.compile()
    x = matrix(stream, 97)
    together = compiled.predict(x)
    for size in (1, 2, 7, 64):
        apart = [compiled.predict(x[start : start + size]) for start in range(0, len(x), size)]
        assert np.concatenate(apart).tobytes() == together.tobytes()
    assert compiled.predict(np.asfortranarray(x)).tobytes() == together.tobytes()
    assert compiled.predict(x[:0]).shape == (0,)


def test_contributions_sum_up_to_the_log_odds_less_those_of_the_average_row(
    grown: OnlineModel, stream: Stream
) -> None:
    compiled = grown.compile()
    x = matrix(stream, 200)
    pushes = compiled.contributions(x)
    scores = compiled.predict(x)
    assert pushes.shape == x.shape
    # Log-odds of certain scores are cut off, on a scale that the correction has shifted.
    sure = (scores > 1e-5) & (scores < 1 - 1e-5)
    assert sure.sum() > 20
    base = np.log(scores / (1 - scores))[sure] - pushes.sum(axis=1)[sure]
    assert np.ptp(base) < 1e-9
    assert np.abs(pushes[:, 3]).max() < 1e-12, "a feature that never varies pushes nothing"


def test_contributions_do_not_depend_on_the_batch(grown: OnlineModel, stream: Stream) -> None:
    compiled = grown.compile()
    x = matrix(stream, 20)
    alone = np.vstack([compiled.contributions(row[None]) for row in x])
    assert alone.tobytes() == compiled.contributions(x).tobytes()
    assert compiled.contributions(x[:0]).shape == (0, 4)


def test_a_round_trip_through_parts_changes_no_bit(grown: OnlineModel, stream: Stream) -> None:
    compiled = grown.compile()
    x = matrix(stream, 100)
    again = rebuilt(compiled)
    assert again.predict(x).tobytes() == compiled.predict(x).tobytes()
    assert again.contributions(x).tobytes() == compiled.contributions(x).tobytes()
    (metadata, arrays), (metadata_again, arrays_again) = compiled.to_parts(), again.to_parts()
    assert metadata == metadata_again
    assert {name: array.tobytes() for name, array in arrays.items()} == {
        name: array.tobytes() for name, array in arrays_again.items()
    }


@every_recipe
def test_an_untaught_model_makes_the_round_trip_too(recipe: Recipe) -> None:
    for min_frauds in (0, 20):
        compiled = recipe.build(1, NAMES, min_frauds=min_frauds).compile()
        x = np.zeros((2, 4))
        assert rebuilt(compiled).predict(x).tolist() == compiled.predict(x).tolist()
        np.testing.assert_allclose(compiled.predict(x), 0.005)


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


ANY_KIND = {
    "a rate of 0": lambda metadata, _: metadata.update(negative_rate=0.0),
    "a rate above 1": lambda metadata, _: metadata.update(negative_rate=1.5),
    "a rate that is nan": lambda metadata, _: metadata.update(negative_rate=float("nan")),
    "a rate that is a word": lambda metadata, _: metadata.update(negative_rate="0.5"),
    "no rate": lambda metadata, _: metadata.pop("negative_rate"),
}
LINEAR = {
    "a weight that is nan": _set("weight", 1, np.nan),
    "a mean that is infinite": _set("mean", 0, np.inf),
    "a negative deviation": _set("deviation", 0, -1.0),
    "a weight too few": _replace("weight", lambda array: array[:-1]),
    "weights in a matrix": _replace("weight", lambda array: array.reshape(2, 2)),
    "weights of half the precision": _replace("weight", lambda array: array.astype(np.float32)),
    "no weights": lambda _, arrays: arrays.pop("weight"),
    "an infinite intercept": lambda metadata, _: metadata.update(intercept=float("inf")),
    "an intercept that is true": lambda metadata, _: metadata.update(intercept=True),
}
FOREST = {
    "a column that is not there": _set("feature", 0, 4),
    "a column before the first": _set("feature", 0, -2),
    "a child before its parent": _set("child", 0, 0),
    "a child behind the last node": _set("child", 0, 2**31 - 1),
    "a child of two parents": _replace(
        "child", lambda array: np.where(array > 0, array.max(), 0).astype("i4")
    ),
    "a share above 1": _set("share", 1, 1.1),
    "a share that is nan": _set("share", 1, np.nan),
    "a threshold that is nan": _set("threshold", 0, np.nan),
    "a negative weight": _set("weight", 0, -1.0),
    "a root that is not first": _set("roots", 0, 1),
    "no roots": _replace("roots", lambda array: array[:0]),
    "no nodes": _replace("feature", lambda array: array[:0]),
    "indices of eight bytes": _replace("child", lambda array: array.astype(np.int64)),
}


@pytest.mark.parametrize("damage", (ANY_KIND | LINEAR).values(), ids=list(ANY_KIND | LINEAR))
def test_a_damaged_linear_model_is_refused(damage: Damage) -> None:
    _refuses("logistic", damage)


@pytest.mark.parametrize("damage", (ANY_KIND | FOREST).values(), ids=list(ANY_KIND | FOREST))
@pytest.mark.parametrize("name", ["forest", "tree", "arf"])
def test_a_damaged_forest_is_refused(name: str, damage: Damage) -> None:
    _refuses(name, damage)


def _refuses(name: str, damage: Damage) -> None:
    (compiled,) = blended(grown_once(name)).members
    metadata, arrays = compiled.to_parts()
    metadata, arrays = dict(metadata), dict(arrays)
    damage(metadata, arrays)
    with pytest.raises(SnapshotError, match=f"a {compiled.kind} model is damaged: "):
        compiled_from_parts(compiled.kind, metadata, arrays, features=len(NAMES))


def test_a_tree_of_absurd_depth_is_refused() -> None:
    # Every second node splits again: 100 levels from 201 nodes.
    nodes = 201
    inner = np.arange(nodes) % 2 == 0
    inner[-1] = False
    arrays = {
        "feature": np.where(inner, 0, -1).astype("i4"),
        "threshold": np.zeros(nodes),
        "child": np.where(inner, np.arange(nodes) + 1, 0).astype("i4"),
        "share": np.full(nodes, 0.5),
        "roots": np.array([0], "i4"),
        "weight": np.ones(1),
    }
    with pytest.raises(SnapshotError, match="a tree is deeper than 64"):
        compiled_from_parts("forest", {"negative_rate": 1.0, "prior": 0.1}, arrays, features=1)


def test_a_constant_outside_the_probabilities_is_refused() -> None:
    with pytest.raises(SnapshotError, match=r"probability is 1\.5"):
        compiled_from_parts("constant", {"probability": 1.5}, {}, features=1)


def test_a_kind_from_the_future_is_refused() -> None:
    with pytest.raises(SnapshotError, match="'quantum' are unknown here"):
        compiled_from_parts("quantum", {}, {}, features=1)


def test_a_constant_has_no_reasons() -> None:
    assert not Constant(0.5).contributions(np.ones((2, 3))).any()

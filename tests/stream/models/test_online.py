"""The online model: sampling, readiness, and learning that can be interrupted."""

import pickle
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from stream.models.online import MIN_FRAUDS, PRIOR_LABELS, PRIOR_RATE
from stream.models.recipes import RECIPES, Recipe

Stream = Callable[..., Iterator[tuple[str, dict[str, float], bool]]]
Names = tuple[str, ...]

every_recipe = pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))


@every_recipe
def test_until_enough_frauds_are_learnt_it_serves_the_base_rate(
    recipe: Recipe, names: Names, stream: Stream
) -> None:
    model = recipe.build(1, names)
    labels = 0
    for example in stream(2_000):
        if model.frauds_learned == MIN_FRAUDS - 1:
            break
        model.learn_one(*example)
        labels += 1
    assert not model.ready
    assert model.labels == labels
    expected = (MIN_FRAUDS - 1 + PRIOR_RATE * PRIOR_LABELS) / (labels + PRIOR_LABELS)
    compiled = model.compile()
    assert compiled.kind == "constant"
    assert compiled.predict(np.zeros((2, 4))).tolist() == [expected, expected]
    assert model.predict_proba_one(dict.fromkeys(names, 0.0)) == expected

    model.learn_one("one more", dict.fromkeys(names, 1.0), y=True)
    assert model.ready
    assert model.compile().kind != "constant"


@every_recipe
def test_every_fraud_is_learnt_and_a_share_of_the_rest(recipe: Recipe, names: Names, stream: Stream) -> None:
    model = recipe.build(1, names)
    examples = list(stream(4_000))
    learnt = [model.learn_one(*example) for example in examples]
    frauds = sum(y for _, _, y in examples)
    assert all(taken for taken, (_, _, y) in zip(learnt, examples, strict=True) if y)
    assert model.frauds_learned == frauds
    assert model.learned == sum(learnt)
    assert model.labels == 4_000
    largest = max(one.negative_rate for one in recipe.ingredients)
    assert abs((model.learned - frauds) / (4_000 - frauds) - largest) < 0.02
    for member in model.members:
        share = (member.learned - frauds) / (4_000 - frauds)
        assert abs(share - member.classifier.negative_rate) < 0.02


@every_recipe
def test_a_pickle_goes_on_learning_to_the_same_bits(recipe: Recipe, names: Names, stream: Stream) -> None:
    straight = recipe.build(1, names)
    resumed = {moment: recipe.build(1, names) for moment in (0, 1, 1_000)}
    for number, example in enumerate(stream(3_000, fraud_rate=0.2)):
        if number in resumed:
            resumed[number] = pickle.loads(pickle.dumps(resumed[number], protocol=5))  # noqa: S301 (our own)
        for model in (straight, *resumed.values()):
            model.learn_one(*example)
    x = np.array([list(x.values()) for _, x, _ in stream(300, seed=2)])
    for model in resumed.values():
        assert model.compile().predict(x).tobytes() == straight.compile().predict(x).tobytes()
        for ours, theirs in zip(model.compile().to_parts(), straight.compile().to_parts(), strict=True):
            assert {k: np.asarray(v).tobytes() for k, v in ours.items()} == {
                k: np.asarray(v).tobytes() for k, v in theirs.items()
            }


@every_recipe
def test_compiling_and_asking_leave_no_trace_in_what_is_learnt(
    recipe: Recipe, names: Names, stream: Stream
) -> None:
    watched, alone = recipe.build(1, names, min_frauds=0), recipe.build(1, names, min_frauds=0)
    for number, (transaction_id, x, y) in enumerate(stream(1_500, fraud_rate=0.2)):
        if number % 50 == 0:
            watched.predict_proba_one(x)
            watched.compile()
        watched.learn_one(transaction_id, x, y)
        alone.learn_one(transaction_id, x, y)
    x = np.array([list(x.values()) for _, x, _ in stream(200, seed=2)])
    assert watched.compile().predict(x).tobytes() == alone.compile().predict(x).tobytes()


@every_recipe
def test_the_order_in_which_features_come_does_not_matter(
    recipe: Recipe, names: Names, stream: Stream
) -> None:
    forth, back = recipe.build(1, names), recipe.build(1, names)
    for transaction_id, x, y in stream(1_000, fraud_rate=0.2):
        forth.learn_one(transaction_id, x, y)
        back.learn_one(transaction_id, {**dict(reversed(x.items())), "unknown": 1.0}, y)
    x = np.array([list(x.values()) for _, x, _ in stream(100, seed=2)])
    assert forth.compile().predict(x).tobytes() == back.compile().predict(x).tobytes()


@pytest.mark.parametrize("name", ["forest", "tree"])
def test_scores_are_probabilities_of_the_stream_not_of_the_sample(
    name: str, names: Names, stream: Stream
) -> None:
    model = RECIPES[name].build(1, names)
    for example in stream(20_000, fraud_rate=0.02):
        model.learn_one(*example)
    x = np.array([list(x.values()) for _, x, _ in stream(4_000, seed=2, fraud_rate=0.02)])
    assert 0.01 < model.compile().predict(x).mean() < 0.04


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_would_poison_the_model_is_refused_before_anything_changes(
    names: Names, value: float
) -> None:
    model = RECIPES["logistic"].build(1, names)
    with pytest.raises(ValueError, match="feature ratio of transaction t1 is"):
        model.learn_one("t1", {**dict.fromkeys(names, 1.0), "ratio": value}, y=True)
    assert (model.labels, model.frauds_learned) == (0, 0)
    assert not model.members[0].classifier.scaler.counts


def test_a_missing_feature_is_an_error(names: Names) -> None:
    with pytest.raises(KeyError, match="constant"):
        RECIPES["logistic"].build(1, names).learn_one("t1", dict.fromkeys(names[:3], 1.0), y=True)

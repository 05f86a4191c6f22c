"""What is particular about the logistic regression."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from stream.models.linear import LIMIT, Linear, OnlineLinear
from stream.models.recipes import recipe

Stream = Callable[..., Iterator[tuple[str, dict[str, float], bool]]]
Names = tuple[str, ...]


def linear(names: Names, **changes: Any) -> OnlineLinear:
    return OnlineLinear(names, 0, **{"learning_rate": 0.01, "limit": 10.0, "initial": 0.005} | changes)


def test_an_untaught_model_says_its_initial_probability(names: Names) -> None:
    assert abs(linear(names).predict_row([100.0] * len(names)) - 0.005) < 1e-12


def test_a_feature_that_never_varied_counts_nothing(names: Names, stream: Stream) -> None:
    classifier = linear(names)
    for _, x, y in stream(200):
        classifier.learn_row(list(x.values()), y)
    compiled = classifier.compile(0.1)
    assert compiled.deviation[3] == 0.0
    usual, strange = np.array([[20.0, 1.0, 0.0, 4.0]]), np.array([[20.0, 1.0, 0.0, 1e12]])
    assert compiled.predict(usual).tolist() == compiled.predict(strange).tolist()


def test_one_absurd_value_does_not_throw_the_weights_about(names: Names, stream: Stream) -> None:
    calm, shaken = linear(names), linear(names)
    for number, (_, x, y) in enumerate(stream(2_000)):
        calm.learn_row(list(x.values()), y)
        shaken.learn_row([1e12 if number == 1_000 else x["amount"], *list(x.values())[1:]], y)
    moved = shaken.compile(0.1).weight - calm.compile(0.1).weight
    assert np.abs(moved[1:]).max() < 0.2
    # 10 deviations, times the learning rate, is the farthest one step can go; later steps differ, too.
    assert np.abs(moved).max() < 1.0


def test_scores_stay_inside_zero_and_one() -> None:
    certain = Linear(np.zeros(1), np.ones(1), np.array([100.0]), 0.0, limit=10.0)
    low, high = certain.predict(np.array([[-5.0], [5.0]]))
    assert 0.0 < low < 1e-12
    assert 1.0 - 1e-12 < high < 1.0


def test_it_learns_what_frauds_look_like(names: Names, stream: Stream) -> None:
    model = recipe("logistic").build(1, names)
    for example in stream(4_000):
        model.learn_one(*example)
    examples = list(stream(1_000, seed=2))
    scores = model.compile().predict(np.array([list(x.values()) for _, x, _ in examples]))
    fraud = np.array([y for _, _, y in examples])
    assert scores[fraud].mean() > 3 * scores[~fraud].mean()
    assert model.compile().contributions(np.array([[500.0, 2.5, 1.0, 4.0]]))[0, 1] > 0


def test_a_batch_is_scaled_and_learnt_as_river_does_row_by_row(names: Names, stream: Stream) -> None:
    model = linear(names)
    scaler, regression = copy.deepcopy(model.scaler), copy.deepcopy(model.regression)
    examples = list(stream(500))
    x = np.array([list(row.values()) for _, row, _ in examples])
    y = np.array([fraud for _, _, fraud in examples])
    random = np.random.default_rng(0)
    shown, asked = random.random(500) < 0.7, random.random(500) < 0.4
    expected = []
    for (_, row, fraud), learns, answers in zip(examples, shown, asked, strict=True):
        if answers:
            expected.append(regression.predict_proba_one(held(scaler.transform_one(row)))[True])
        if learns:
            scaler.learn_one(row)
            regression.learn_one(held(scaler.transform_one(row)), fraud)
    said = [
        share
        for some in np.array_split(np.arange(500), [1, 2, 90, 400])
        for share in model.learn_rows(x[some], y[some], shown[some], asked[some])
    ]
    assert said == expected
    assert (model.scaler.counts, model.scaler.means) == (scaler.counts, scaler.means)
    assert (model.scaler.vars, model.regression.weights) == (scaler.vars, regression.weights)
    assert model.regression.intercept == regression.intercept


def held(x: dict[str, float]) -> dict[str, float]:
    return {name: min(max(value, -LIMIT), LIMIT) for name, value in x.items()}

"""What is particular about compiling River's trees."""

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from river import drift

from stream.models.blend import Mixer
from stream.models.online import Member, OnlineModel
from stream.models.trees import MOST_SPLITS_DEEP, OnlineAdaptiveForest, OnlineTree

Stream = Callable[..., Iterator[tuple[str, dict[str, float], bool]]]
Names = tuple[str, ...]


def forest(names: Names, *, weighted_vote: bool = False, trees: int = 5) -> OnlineAdaptiveForest:
    return OnlineAdaptiveForest(
        names, 3, trees=trees, bagging=6, negative_rate=0.5, weighted_vote=weighted_vote
    )


def agree(classifier: Any, examples: list[Any]) -> None:
    model = OnlineModel([Member(classifier)], classifier.feature_names, Mixer(1), salt=0, min_frauds=0)
    rows = [x for _, x, _ in examples]
    compiled = model.compile().predict(np.array([list(x.values()) for x in rows]))
    river = [model.predict_proba_one(x) for x in rows]
    np.testing.assert_allclose(compiled, river, rtol=0, atol=1e-9)


def test_members_that_vote_by_accuracy_keep_their_weights(names: Names, stream: Stream) -> None:
    classifier = forest(names, weighted_vote=True)
    for _, x, y in stream(1_500, fraud_rate=0.4):
        classifier.learn_row(list(x.values()), y)
    weights = classifier.compile(0.1).weight
    assert len(set(weights.tolist())) > 1, "members of one accuracy would prove nothing"
    agree(classifier, list(stream(300, seed=2)))


def test_a_member_that_was_never_right_counts_in_full(names: Names, stream: Stream) -> None:
    classifier = forest(names, weighted_vote=True)
    ((_, x, _),) = stream(1)
    classifier.learn_row(list(x.values()), y=True)
    assert [metric.get() for metric in classifier.forest._metrics] == [0.0] * 5
    assert set(classifier.compile(0.1).weight.tolist()) <= {0.0, 1.0}
    agree(classifier, list(stream(50, seed=2)))


def test_members_that_have_seen_nothing_do_not_vote(names: Names, stream: Stream) -> None:
    classifier = OnlineAdaptiveForest(names, 11, trees=40, bagging=1, negative_rate=1.0)
    for _, x, y in stream(2, fraud_rate=0.5):
        classifier.learn_row(list(x.values()), y)
    unseen = [member._root is None for member in classifier.forest]
    assert any(unseen)
    assert not all(unseen)
    assert (classifier.compile(0.1).weight == 0).tolist() == unseen
    agree(classifier, list(stream(50, seed=2)))


def test_asking_an_untaught_forest_does_not_plant_it(names: Names) -> None:
    classifier = forest(names)
    assert classifier.predict_row([0.0] * len(names)) == 0.0
    assert len(classifier.forest) == 0
    assert not classifier.knows
    assert classifier.compile(0.25) is None


def test_no_member_is_replaced_behind_our_back(names: Names) -> None:
    classifier = forest(names)
    assert isinstance(classifier.forest.drift_detector, drift.NoDrift)
    assert isinstance(classifier.forest.warning_detector, drift.NoDrift)
    assert classifier.forest._drift_detection_disabled
    assert classifier.forest._warning_detection_disabled


def test_leaves_that_stopped_growing_still_answer(names: Names, stream: Stream) -> None:
    classifier = OnlineTree(names, 0, grace_period=20, delta=0.01, negative_rate=1.0)
    classifier.tree.max_depth = 2
    for _, x, y in stream(2_000, fraud_rate=0.4):
        classifier.learn_row(list(x.values()), y)
    assert any(not leaf.is_active() for leaf in classifier.tree._root.iter_leaves())
    assert classifier.compile(0.1).depth == 2
    agree(classifier, list(stream(300, seed=2)))


def test_trees_are_bounded_in_depth(names: Names) -> None:
    assert forest(names).forest.max_depth == MOST_SPLITS_DEEP
    assert (
        OnlineTree(names, 0, grace_period=20, delta=0.01, negative_rate=1.0).tree.max_depth
        == MOST_SPLITS_DEEP
    )


@pytest.mark.parametrize("kind", ["forest", "tree"])
def test_an_inner_node_has_the_share_of_what_lies_under_it(names: Names, stream: Stream, kind: str) -> None:
    classifier = (
        forest(names, trees=1)
        if kind == "forest"
        else OnlineTree(names, 0, grace_period=50, delta=0.01, negative_rate=0.5)
    )
    for _, x, y in stream(2_000, fraud_rate=0.3):
        classifier.learn_row(list(x.values()), y)
    compiled = classifier.compile(0.1)
    inner = np.flatnonzero(compiled.feature >= 0)
    assert len(inner) > 1, "a tree without splits would prove nothing"
    low = np.minimum(compiled.share[compiled.child[inner]], compiled.share[compiled.child[inner] + 1])
    high = np.maximum(compiled.share[compiled.child[inner]], compiled.share[compiled.child[inner] + 1])
    assert (low <= compiled.share[inner] + 1e-12).all()
    assert (compiled.share[inner] <= high + 1e-12).all()


def test_lean_splitters_grow_the_very_trees_that_rivers_own_do(names: Names, stream: Stream) -> None:
    lean, river = forest(names), forest(names)
    river.forest.splitter = None
    for _, x, y in stream(2_000, fraud_rate=0.3):
        lean.learn_row(list(x.values()), y)
        river.learn_row(list(x.values()), y)
    ours, theirs = lean.compile(0.1), river.compile(0.1)
    assert len(ours.feature) > 50
    for name, array in ours.to_parts()[1].items():
        assert array.tobytes() == theirs.to_parts()[1][name].tobytes()


@pytest.mark.parametrize("kind", ["forest", "tree"])
def test_the_same_labels_pickle_to_the_same_bytes(names: Names, stream: Stream, kind: str) -> None:
    first, second = (
        forest(names)
        if kind == "forest"
        else OnlineTree(names, 0, grace_period=50, delta=0.01, negative_rate=0.5)
        for _ in range(2)
    )
    for classifier in (first, second):
        for _, x, y in stream(1_000, fraud_rate=0.3):
            classifier.learn_row(list(x.values()), y)
    assert pickle.dumps(first, protocol=5) == pickle.dumps(second, protocol=5)


def test_no_generator_hides_in_the_leaves(names: Names, stream: Stream) -> None:
    classifier = forest(names)
    for _, x, y in stream(2_000, fraud_rate=0.3):
        classifier.learn_row(list(x.values()), y)
    nodes = len(classifier.compile(0.1).feature)
    # One state of a generator alone has 2.5 KB.
    assert len(pickle.dumps(classifier, protocol=5)) < 1_000 * nodes + 20_000

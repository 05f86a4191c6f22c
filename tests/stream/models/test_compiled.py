from typing import Any

import numpy as np
import pytest

from stream.errors import SnapshotError
from stream.models.compiled import Forest, Linear, compiled_from_parts


def stump(**changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Take apart a tree of one split on feature 1, with some of its parts changed."""
    forest = Forest(
        feature=np.array([1, -1, -1], dtype=np.int32),
        threshold=np.array([0.5, 0.0, 0.0]),
        left=np.array([1, 0, 0], dtype=np.int32),
        right=np.array([2, 0, 0], dtype=np.int32),
        fraud=np.array([0.5, 0.1, 0.9]),
        legitimate=np.array([0.5, 0.9, 0.1]),
        roots=np.array([0], dtype=np.int32),
        negative_rate=1.0,
        prior=0.01,
    )
    meta, arrays = forest.to_parts()
    for name, value in changes.items():
        if name in meta:
            meta[name] = value
        else:
            arrays[name] = np.array(value, dtype=arrays[name].dtype)
    return meta, arrays


def test_a_tree_sends_rows_left_at_or_under_its_threshold() -> None:
    model = compiled_from_parts("forest", *stump(), features=2)
    assert model.predict(np.array([[9, 0.5], [9, 0.6]])).tolist() == pytest.approx([0.1, 0.9])


def test_undersampling_is_corrected_for() -> None:
    # Half of the node's sample are frauds, but only one in twenty of the legitimate was shown: 1 in 21.
    model = compiled_from_parts(
        "forest", *stump(fraud=[0.5, 0.5, 0.5], legitimate=[0.5, 0.5, 0.5], negative_rate=0.05), features=2
    )
    assert model.predict(np.zeros((1, 2))).tolist() == pytest.approx([1 / 21])


def test_a_forest_that_knows_nothing_says_its_prior() -> None:
    model = compiled_from_parts("forest", *stump(fraud=[0, 0, 0], legitimate=[0, 0, 0]), features=2)
    assert model.predict(np.zeros((1, 2))).tolist() == [0.01]


def test_linear_contributions_add_up_to_the_log_odds() -> None:
    model = Linear(np.array([1.0, 2.0]), np.array([0.5, 2.0]), np.array([3.0, -1.0]), -4.0)
    x = np.array([[2.0, 2.5]])
    log_odds = float(model.contributions(x).sum() + model.intercept)
    assert model.predict(x).tolist() == pytest.approx([1 / (1 + np.exp(-log_odds))])


@pytest.mark.parametrize(
    "changes",
    [
        {"left": [0, 0, 0]},  # a cycle
        {"right": [3, 0, 0]},  # out of the arrays
        {"roots": [-1]},
        {"roots": []},
        {"feature": [2, -1, -1]},  # no such column
        {"threshold": [np.nan, 0, 0]},
        {"fraud": [0.5, -0.1, 0.9]},
        {"fraud": [0.5, 0.1]},
        {"negative_rate": 0.0},
        {"prior": 2.0},
        {"prior": "much"},
    ],
)
def test_parts_that_are_no_tree_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SnapshotError, match="damaged"):
        compiled_from_parts("forest", *stump(**changes), features=2)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(SnapshotError, match="upgrade the scorers"):
        compiled_from_parts("neural", {}, {}, features=2)


def test_a_missing_part_is_refused() -> None:
    with pytest.raises(SnapshotError, match="damaged"):
        compiled_from_parts("linear", {"intercept": 1.0}, {"mean": np.zeros(2)}, features=2)

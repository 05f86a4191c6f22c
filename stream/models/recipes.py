"""The recipes: named ways to build a model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any, Final

import numpy as np
from river import forest, linear_model, optim, preprocessing, tree
from river.tree.nodes.branch import DTBranch, NumericBinaryBranch

from stream.errors import SettingsError
from stream.models.compiled import CompiledModel, Forest, Linear
from stream.models.online import PRIOR_RATE, Compile, OnlineModel


@dataclass(frozen=True)
class Recipe:
    """A named way to build a model."""

    name: str
    description: str
    negative_rate: float
    """Share of the legitimate transactions that the model is shown."""
    river: Callable[[int], Any]
    """Builds the River classifier from a seed."""
    compiler: Compile

    def build(self, seed: int, feature_names: Sequence[str]) -> OnlineModel:
        """Return a model that knows nothing yet."""
        return OnlineModel(
            self.river(seed), tuple(feature_names), self.compiler, negative_rate=self.negative_rate, salt=seed
        )


def recipe(name: str) -> Recipe:
    """Find a recipe.

    Raises
    ------
    SettingsError
        There is none of this name; lists those there are.
    """
    try:
        return RECIPES[name]
    except KeyError:
        raise SettingsError(f"there is no recipe {name!r}; there are: {', '.join(RECIPES)}") from None


def _logistic(_seed: int) -> Any:
    # Starts at the base rate: an untrained model must not call everything suspect.
    return preprocessing.StandardScaler() | linear_model.LogisticRegression(
        optimizer=optim.SGD(0.02), intercept_init=log(PRIOR_RATE / (1 - PRIOR_RATE)), intercept_lr=0.02
    )


def _forest(seed: int) -> Any:
    return forest.ARFClassifier(
        n_models=10,
        lambda_value=6,
        grace_period=50,
        leaf_prediction="mc",
        # The case above judges the whole model, on labels; members do not replace themselves behind its back.
        drift_detector=None,
        warning_detector=None,
        # Every member is right on 99 % of transactions: their accuracies say nothing.
        disable_weighted_vote=True,
        # A runaway tree would be a runaway snapshot.
        max_depth=18,
        seed=seed,
    )


def _tree(_seed: int) -> Any:
    return tree.HoeffdingTreeClassifier(grace_period=100, leaf_prediction="mc", max_depth=16)


def _compile_linear(
    model: Any, feature_names: tuple[str, ...], _negative_rate: float, _prior: float
) -> CompiledModel:
    scaler, regression = model["StandardScaler"], model["LogisticRegression"]
    weights = regression.weights
    variance = np.array([scaler.vars.get(name, 0.0) for name in feature_names])
    # A feature that never varied counts nothing, as in River.
    deviation = np.sqrt(np.where(variance > 0, variance, 1.0))
    return Linear(
        np.array([scaler.means.get(name, 0.0) for name in feature_names]),
        np.where(variance > 0, 1.0 / deviation, 0.0),
        np.array([float(weights.get(name, 0.0)) for name in feature_names]),
        float(regression.intercept),
    )


def _compile_forest(
    model: Any, feature_names: tuple[str, ...], negative_rate: float, prior: float
) -> CompiledModel:
    return _flatten(list(model), feature_names, negative_rate, prior)


def _compile_tree(
    model: Any, feature_names: tuple[str, ...], negative_rate: float, prior: float
) -> CompiledModel:
    return _flatten([model], feature_names, negative_rate, prior)


def _flatten(
    trees: Sequence[Any], feature_names: tuple[str, ...], negative_rate: float, prior: float
) -> Forest:
    """Lay River's trees out as arrays, children behind their parents."""
    column = {name: number for number, name in enumerate(feature_names)}
    feature: list[int] = []
    threshold: list[float] = []
    children: list[list[int]] = []
    fraud: list[float] = []
    legitimate: list[float] = []

    def lay(node: Any) -> int:
        number = len(feature)
        stats = node.stats if node is not None else {}
        total = sum(stats.values())
        fraud.append(stats.get(True, 0.0) / total if total > 0 else 0.0)
        legitimate.append(stats.get(False, 0.0) / total if total > 0 else 0.0)
        children.append([0, 0])
        if isinstance(node, DTBranch):
            assert isinstance(node, NumericBinaryBranch), "every feature is numeric, every split in two"
            feature.append(column[node.feature])
            threshold.append(float(node.threshold))
            for side, child in enumerate(node.children):
                children[number][side] = lay(child)
        else:
            feature.append(-1)
            threshold.append(0.0)
        return number

    roots = [lay(getattr(one, "_root", None)) for one in trees] or [lay(None)]
    sides = np.array(children, dtype=np.int32)
    return Forest(
        np.array(feature, dtype=np.int32),
        np.array(threshold),
        np.ascontiguousarray(sides[:, 0]),
        np.ascontiguousarray(sides[:, 1]),
        np.array(fraud),
        np.array(legitimate),
        np.array(roots, dtype=np.int32),
        negative_rate,
        prior,
    )


RECIPES: Final[Mapping[str, Recipe]] = {
    one.name: one
    for one in (
        Recipe(
            "logistic",
            "Logistic regression on standardised features, by stochastic gradient descent.",
            1.0,
            _logistic,
            _compile_linear,
        ),
        Recipe(
            "forest",
            "Ten random Hoeffding trees on all frauds and one in twenty of the rest (Gomes et al. 2017).",
            0.05,
            _forest,
            _compile_forest,
        ),
        Recipe(
            "tree",
            "One Hoeffding tree on all frauds and one in ten of the rest (Domingos & Hulten 2000).",
            0.1,
            _tree,
            _compile_tree,
        ),
    )
}

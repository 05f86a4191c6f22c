"""The recipes: named ways to build a model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from stream.errors import SettingsError
from stream.models.linear import LIMIT, OnlineLinear
from stream.models.online import MIN_FRAUDS, PRIOR_RATE, Classifier, OnlineModel
from stream.models.trees import OnlineForest, OnlineTree


@dataclass(frozen=True)
class Recipe:
    """A named way to build a model."""

    name: str
    description: str
    negative_rate: float
    """Share of the legitimate transactions that the model is shown."""
    classifier: Callable[..., Classifier]
    """Takes feature names, seed and the parameters, each by name."""
    parameters: Mapping[str, float | int] = field(default_factory=dict)
    """What else the classifier is made with; goes into snapshots."""

    def build(self, seed: int, feature_names: Sequence[str], *, min_frauds: int = MIN_FRAUDS) -> OnlineModel:
        """Return a model that knows nothing yet.

        Parameters
        ----------
        seed
            At least 0: of the classifier's randomness and of the sample it is shown.
        feature_names
            In the order of the matrices' columns.
        min_frauds
            It serves the base rate until it has learnt so many.
        """
        classifier = self.classifier(
            feature_names=tuple(feature_names),
            seed=seed,
            negative_rate=self.negative_rate,
            **self.parameters,
        )
        return OnlineModel(classifier, salt=seed, min_frauds=min_frauds)


def recipe(name: str) -> Recipe:
    """Find a recipe.

    Raises
    ------
    SettingsError
        There is none of this name; lists those there are.

    Examples
    --------
    >>> recipe("forest").negative_rate
    0.05
    >>> recipe("woods")
    Traceback (most recent call last):
    stream.errors.SettingsError: there is no recipe 'woods'; there are: logistic, forest, tree
    """
    try:
        return RECIPES[name]
    except KeyError:
        raise SettingsError(f"there is no recipe {name!r}; there are: {', '.join(RECIPES)}") from None


_CATALOGUE = (
    Recipe(
        "logistic",
        "Logistic regression on standardised features, by stochastic gradient descent.",
        1.0,
        OnlineLinear,
        {"learning_rate": 0.005, "limit": LIMIT, "initial": PRIOR_RATE},
    ),
    Recipe(
        "forest",
        "Ten random Hoeffding trees on all frauds and one in twenty of the rest.",
        0.05,
        OnlineForest,
        {"trees": 10, "bagging": 6},
    ),
    Recipe(
        "tree",
        "One Hoeffding tree on all frauds and one in ten of the rest.",
        0.1,
        OnlineTree,
        {"grace_period": 100, "delta": 0.01},
    ),
)

RECIPES: Final[Mapping[str, Recipe]] = MappingProxyType({one.name: one for one in _CATALOGUE})
"""By name, in the order they were added."""

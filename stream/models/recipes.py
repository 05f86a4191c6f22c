"""The recipes: named ways to build a model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from stream.errors import SettingsError
from stream.models.binned import BinnedLogisticRegression
from stream.models.binned_forest import BinnedForestClassifier
from stream.models.blend import Mixer
from stream.models.lessons import View
from stream.models.linear import LIMIT, OnlineLinear
from stream.models.online import MIN_FRAUDS, PRIOR_RATE, Classifier, Member, OnlineModel
from stream.models.sampling import sampled
from stream.models.trees import OnlineAdaptiveForest, OnlineTree


@dataclass(frozen=True)
class Ingredient:
    """One classifier of a recipe."""

    classifier: Callable[..., Classifier]
    """Takes feature names, seed, negative rate and the parameters, each by name."""
    negative_rate: float
    """Share of the legitimate transactions that it is shown."""
    parameters: Mapping[str, float | int] = field(default_factory=dict)
    view: View = "all"
    """Which labels it learns from."""
    above_base: bool = False
    """Whether it has a say on suspects only."""


@dataclass(frozen=True)
class Recipe:
    """A named way to build a model."""

    name: str
    description: str
    ingredients: tuple[Ingredient, ...]

    @property
    def parameters(self) -> dict[str, float | int]:
        """What the classifiers are made with, named by their place; goes into snapshots."""
        found: dict[str, float | int] = {}
        for number, one in enumerate(self.ingredients):
            found[f"{number}.negative_rate"] = one.negative_rate
            found |= {f"{number}.{name}": value for name, value in one.parameters.items()}
        return found

    def build(self, seed: int, feature_names: Sequence[str], *, min_frauds: int = MIN_FRAUDS) -> OnlineModel:
        """Return a model that knows nothing yet.

        Parameters
        ----------
        seed
            At least 0: of the classifiers' randomness and of the sample they are shown.
        feature_names
            In the order of the matrices' columns.
        min_frauds
            It serves the base rate until it has learnt so many.
        """
        names = tuple(feature_names)
        members = [
            Member(
                one.classifier(
                    feature_names=names, seed=seed + number, negative_rate=one.negative_rate, **one.parameters
                ),
                one.view,
                one.above_base,
            )
            for number, one in enumerate(self.ingredients)
        ]
        return OnlineModel(members, names, Mixer(len(members)), salt=seed, min_frauds=min_frauds)


def recipe(name: str) -> Recipe:
    """Find a recipe.

    Raises
    ------
    SettingsError
        There is none of this name; lists those there are.

    Examples
    --------
    >>> [one.negative_rate for one in recipe("ensemble").ingredients]
    [0.2, 0.2]
    >>> recipe("woods")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    stream.errors.SettingsError: there is no recipe 'woods'; there are: ensemble, binned, ...
    """
    try:
        return RECIPES[name]
    except KeyError:
        raise SettingsError(
            f"there is no recipe {name!r}; there are: {', '.join(RECIPES)}; look at FRAUD_CHAMPION and"
            " FRAUD_CHALLENGERS"
        ) from None


def _binned(*, seed: int, **parameters: Any) -> BinnedLogisticRegression:
    del seed  # nothing in it is random
    return BinnedLogisticRegression(**parameters)


_BINNED: Final = Ingredient(_binned, 0.2)
_FOREST: Final = Ingredient(BinnedForestClassifier, 0.2)

_CATALOGUE = (
    Recipe(
        "ensemble",
        "`binned` (on suspects) and `forest`, weighed by how well they do.",
        (replace(_BINNED, above_base=True), _FOREST),
    ),
    Recipe("binned", "Logistic regression on quantile bins and their crosses, by FTRL-proximal.", (_BINNED,)),
    Recipe("forest", "Ten Hoeffding trees on quantile bins, with leaning leaves.", (_FOREST,)),
    Recipe(
        "logistic",
        "Logistic regression on standardised features, by stochastic gradient descent (River).",
        (
            Ingredient(
                OnlineLinear,
                0.1,
                {"learning_rate": 0.005, "limit": LIMIT, "initial": sampled(PRIOR_RATE, 0.1)},
            ),
        ),
    ),
    Recipe(
        "tree",
        "One Hoeffding tree (River).",
        (Ingredient(OnlineTree, 0.1, {"grace_period": 100, "delta": 0.01}),),
    ),
    Recipe(
        "arf",
        "Ten trees of an adaptive random forest (River), its drift detectors off.",
        (Ingredient(OnlineAdaptiveForest, 0.05, {"trees": 10, "bagging": 6}),),
    ),
    Recipe(
        "feedback",
        "`forest` on analysts' verdicts alone.",
        (replace(_FOREST, negative_rate=1.0, view="analyst"),),
    ),
    Recipe(
        "delayed",
        "`ensemble` on matured labels alone.",
        (replace(_BINNED, above_base=True, view="matured"), replace(_FOREST, view="matured")),
    ),
    Recipe(
        "aggregate",
        "`delayed` and `feedback`, weighed by how well they do (after Dal Pozzolo et al. 2015).",
        (
            replace(_BINNED, above_base=True, view="matured"),
            replace(_FOREST, view="matured"),
            replace(_FOREST, negative_rate=1.0, view="analyst"),
        ),
    ),
)

RECIPES: Final[Mapping[str, Recipe]] = MappingProxyType({one.name: one for one in _CATALOGUE})
"""By name, in the order they were added."""

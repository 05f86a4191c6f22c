"""The field: the champion and its challengers, who is born and who is retired."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan

from stream.models.online import OnlineModel
from stream.models.recipes import recipe
from stream.registry.snapshot import model_version


@dataclass
class Contender:
    """One model that learns and is scored."""

    version: str
    recipe: str
    model: OnlineModel
    born: int
    """Offset of the last label before its birth."""
    parent: str | None = None
    snapshot: int = 0
    """Number of its last snapshot."""


class Field:
    """The champion and its challengers; at most `most` of them.

    Parameters
    ----------
    recipes
        Recipe names, the first champion's first.
    feature_names
        Of the vectors they learn from.
    seed
        Each contender's own seed is derived from it and from its version.
    most
        Contenders at a time, the champion among them.

    Raises
    ------
    SettingsError
        A recipe has no such name.
    """

    def __init__(self, recipes: Sequence[str], feature_names: Sequence[str], seed: int, most: int) -> None:
        self._feature_names = tuple(feature_names)
        self._seed = seed
        self._most = max(most, len(recipes))
        self._generations: dict[str, int] = {}
        self.contenders: dict[str, Contender] = {}
        """By version, in order of birth."""
        for name in recipes:
            self.bear(name, born=-1)
        self.champion = next(iter(self.contenders))

    @property
    def challengers(self) -> list[str]:
        """Versions other than the champion's, in order of birth."""
        return [version for version in self.contenders if version != self.champion]

    def bear(self, recipe_name: str, born: int, parent: str | None = None) -> Contender:
        """Add a fresh model that knows nothing yet."""
        generation = self._generations.get(recipe_name, 0) + 1
        self._generations[recipe_name] = generation
        version = model_version(recipe_name, generation)
        # Generations of one recipe must not grow the same trees from the same seed.
        model = recipe(recipe_name).build(self._seed + 1000 * generation, self._feature_names)
        contender = Contender(version, recipe_name, model, born, parent)
        self.contenders[version] = contender
        return contender

    def crowded(self) -> bool:
        """Whether somebody has to go before anybody is born."""
        return len(self.contenders) >= self._most

    def weakest(self, average_precision: Mapping[str, float]) -> str | None:
        """Name the challenger to retire: the lowest average precision; those not judged yet are spared."""
        judged = [v for v in self.challengers if isfinite(average_precision.get(v, nan))]
        return min(judged, key=average_precision.__getitem__, default=None)

    def retire(self, version: str) -> None:
        """Remove a challenger.

        Raises
        ------
        ValueError
            It is the champion.
        """
        if version == self.champion:
            raise ValueError(f"{version} is the champion: promote another model first")
        del self.contenders[version]

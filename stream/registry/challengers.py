"""The field: the champion and its challengers, who is born and who is retired."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, nan

from stream.models.fitted import FittedModel
from stream.models.online import OnlineModel
from stream.models.recipes import recipe
from stream.registry.snapshot import model_version


@dataclass
class Contender:
    """One model that learns, or is fitted again and again, and is scored."""

    version: str
    recipe: str
    model: OnlineModel | FittedModel
    born: int
    """Offset of the last label before its birth."""
    parent: str | None = None
    snapshot: int = 0
    """Number of its last snapshot."""
    parameters: dict[str, float | int] = field(default_factory=dict)
    """What the recipe makes it with; goes into snapshots."""
    fitted_to: int | None = None
    """Offset of the last label it was fitted on; None for a model that learns online."""


class Field:
    """The champion and its challengers; at most `most` of them, and one that is frozen.

    Parameters
    ----------
    recipes
        Recipe names, the first champion's first.
    feature_names
        Of the vectors they learn from.
    seed
        Each contender's own seed is derived from it and from its version.
    most
        Contenders at a time, the champion among them; one that is frozen comes on top.

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
        made = recipe(recipe_name)
        generation, version = self._name(recipe_name)
        # Generations of one recipe must not grow the same trees from the same seed.
        model = made.build(self._seed + 1000 * generation, self._feature_names)
        contender = Contender(version, recipe_name, model, born, parent, parameters=dict(made.parameters))
        self.contenders[version] = contender
        return contender

    def fitted(self, recipe_name: str) -> Contender | None:
        """Find the contender that is fitted elsewhere by this recipe, the last one born; None without any."""
        fitted = (one for one in reversed(self.contenders.values()) if one.fitted_to is not None)
        return next((one for one in fitted if one.recipe == recipe_name), None)

    @property
    def frozen(self) -> list[str]:
        """Versions that were fitted elsewhere and are no more, since another has their place."""
        fitted = [one for one in self.contenders.values() if one.fitted_to is not None]
        return [one.version for one in fitted if self.fitted(one.recipe) is not one]

    def admit(
        self,
        recipe_name: str,
        model: FittedModel,
        born: int,
        *,
        fitted_to: int,
        parameters: Mapping[str, float | int],
        freezing: bool = False,
    ) -> Contender:
        """Take a model in that was fitted elsewhere: as the next state of the one there is, or as a new one.

        The contender is the recipe that is fitted again and again, not one fit of it, just as an online model
        keeps its version while it learns. With labels a week late and a fit a week, no single fit would ever
        be judged before its successor came. With `freezing` the fit there is stays what it is under its
        version, and the new one is another contender, which goes on being fitted.
        """
        last = self.fitted(recipe_name)
        contender = None if freezing else last
        if contender is None:
            _, version = self._name(recipe_name)
            parent = None if last is None else last.version
            contender = self.contenders[version] = Contender(version, recipe_name, model, born, parent)
        contender.model, contender.fitted_to, contender.parameters = model, fitted_to, dict(parameters)
        return contender

    def crowded(self) -> bool:
        """Whether somebody has to go before anybody is born."""
        return len(self.contenders) - len(self.frozen) >= self._most

    def weakest(self, average_precision: Mapping[str, float], spared: Collection[str] = ()) -> str | None:
        """Name the challenger to retire: the lowest average precision.

        Those not judged yet are spared, as are `spared`, one that is fitted elsewhere, whose next fit would
        only bring it back, and the eldest: frauds come back, and it is the one that remembers most.
        """
        eldest = next(iter(self.contenders))
        spared = {eldest, *spared, *(v for v, one in self.contenders.items() if one.fitted_to is not None)}
        candidates = [v for v in self.challengers if v not in spared]
        judged = [v for v in candidates if isfinite(average_precision.get(v, nan))]
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

    def _name(self, recipe_name: str) -> tuple[int, str]:
        """Return the next generation of a recipe, and its version."""
        generation = self._generations.get(recipe_name, 0) + 1
        self._generations[recipe_name] = generation
        return generation, model_version(recipe_name, generation)

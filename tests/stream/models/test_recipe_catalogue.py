"""The catalogue of recipes."""

import pytest

from stream.errors import FraudstreamError
from stream.models.recipes import RECIPES, recipe


def test_every_recipe_is_found_by_its_name() -> None:
    assert {
        "ensemble",
        "binned",
        "logistic",
        "forest",
        "tree",
        "arf",
        "feedback",
        "delayed",
        "aggregate",
    } <= set(RECIPES)
    assert all(recipe(name).name == name for name in RECIPES)


def test_every_recipe_hands_its_rate_to_what_it_builds(names: tuple[str, ...]) -> None:
    for one in RECIPES.values():
        members = one.build(1, names).members
        rates = [ingredient.negative_rate for ingredient in one.ingredients]
        assert [member.classifier.negative_rate for member in members] == rates
        assert [one.parameters[f"{number}.negative_rate"] for number in range(len(rates))] == rates


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(FraudstreamError, match="no recipe 'woods'; there are: ensemble, binned, forest"):
        recipe("woods")


def test_the_catalogue_cannot_be_changed_in_passing() -> None:
    with pytest.raises(TypeError):
        RECIPES["mine"] = RECIPES["tree"]  # type: ignore[index]

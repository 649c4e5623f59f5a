from __future__ import annotations

from typing import Literal

from tflite_pipeline.recipe.described import describe_keys
from tflite_pipeline.spec import Section


class Tea(Section):
    minutes: float = 3
    """How long it is left alone; a
    minute more does no harm. Example: `4.5` or `1e1`."""
    kind: Literal["green", "2:4"] = "green"
    """Which one. Example: `"2:4"`.

    - `green`: not
      fermented
    - `2:4`: a mixture
    """
    milk: bool = False


class IcedTea(Tea):
    """Tea that is served cold."""

    minutes: float = 5
    cubes: dict[str, int]
    """Ice, by shape. Example: `{round: 3}`."""


def test_prose_is_one_line_without_its_examples() -> None:
    assert describe_keys(Tea)["minutes"].text == "How long it is left alone; a minute more does no harm."


def test_examples_are_values_by_the_rules_of_recipes() -> None:
    told = describe_keys(IcedTea)
    assert told["minutes"].examples == (4.5, 10.0)
    assert told["kind"].examples == ("2:4",)
    assert told["cubes"].examples == ({"round": 3},)


def test_values_have_their_meanings() -> None:
    assert describe_keys(Tea)["kind"].values == {"green": "not fermented", "2:4": "a mixture"}


def test_keys_are_those_of_the_section_and_what_it_inherits() -> None:
    assert set(describe_keys(IcedTea)) == {"minutes", "kind", "cubes"}

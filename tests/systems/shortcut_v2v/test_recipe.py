"""The example recipe is the one that ``init`` writes."""

from __future__ import annotations

from pathlib import Path

from v2v_export.recipe import load_recipe
from v2v_export.systems.shortcut_v2v import SYSTEM
from v2v_export.systems.shortcut_v2v.options import ShortcutOptions

EXAMPLE = Path(__file__).parents[3] / "examples" / "shortcut_v2v" / "v2v.toml"


def test_example_is_the_template() -> None:
    assert EXAMPLE.read_text() == SYSTEM.template()


def test_template_says_the_defaults() -> None:
    recipe = load_recipe(EXAMPLE)
    assert recipe.options == ShortcutOptions()
    assert (recipe.size.height, recipe.size.width) == (256, 512)

"""Every experiment of the four papers: a file a paper. Data alone: nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping

from trainers.recipes import cpp, dropclass, seethrough, uncertainty, uniseg
from trainers.recipes.recipe import Recipe, by_name
from unify.errors import error

#: Paper -> module of its recipes.
PAPERS = {"uniseg": uniseg, "dropclass": dropclass, "cpp": cpp, "seethrough": seethrough, "uncertainty": uncertainty}
RECIPES: Mapping[str, Recipe] = by_name(*(module.recipes() for module in PAPERS.values()))


def recipe_named(name: str) -> Recipe:
    """Raises `UnifyError` (usage), with the names that are closest."""
    if name not in RECIPES:
        import difflib

        close = ", ".join(difflib.get_close_matches(name, RECIPES, 4, 0.3)) or ", ".join(PAPERS)
        raise error(
            "usage", "--recipe", f"there is no recipe '{name}'", f"`unify recipes` lists them; like it: {close}"
        )
    return RECIPES[name]

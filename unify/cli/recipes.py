"""`unify recipes`: the papers' experiments, and the commands that repeat them."""

from __future__ import annotations

from typing import Any

import click

from unify.cli.options import json_option
from unify.cli.show import json_line, table
from unify.cli.train import trainers


@click.command("recipes", short_help="Show the papers' experiments as commands.")
@click.argument("name", metavar="[NAME]", required=False)
@json_option
def recipes_command(name: str | None, as_json: bool) -> None:
    """The experiments of the four papers, by name; with NAME, one in full: its settings, and every command from raw
    data to scores.

    NAME may also be the beginning of names, to list those. Settings that are our reading are marked; rows that the
    paper lacks, such as baselines of equal length, say what they are for. Nothing here needs torch.

    \b
    Example:
      unify recipes uniseg-cibm-w18
      unify recipes dropclass-voc-hrnetv2
      unify train dropclass --recipe dropclass-voc-hrnetv2 --data p-voc20 --out runs/dropclass
    """
    recipes = trainers("recipes")
    known = recipes.RECIPES
    if name in known:
        recipe = known[name]
        lines = trainers("recipes.recipe").commands(recipe, known)
        if as_json:
            json_line({**recipe.to_json(), "commands": lines})
            return
        _show(recipe, lines)
        return
    rows = [recipe for key, recipe in known.items() if name is None or key.startswith(name)]
    if not rows:
        recipes.recipe_named(name)
    if as_json:
        json_line({"recipes": [recipe.to_json() for recipe in rows]})
        return
    columns = ["recipe", "method", "images", "lr", "length", "data", "what it is"]
    table(columns, [[r.name, r.method, r.images, r.settings["lr"], r.length, ", ".join(r.data), r.about] for r in rows])


def _show(recipe: Any, lines: list[str]) -> None:
    click.echo(f"{recipe.name}: {recipe.about}")
    click.echo(f"  {recipe.source}")
    if recipe.control:
        click.echo(f"  no row of the paper: {recipe.control}")
    click.echo(f"  {recipe.measured}\n")
    rows = [(key, value, key in recipe.reconstruction) for key, value in recipe.settings.items()]
    rows += [
        ("images of an update", recipe.images, False),
        ("GPUs", recipe.processes, "processes" in recipe.reconstruction),
    ]
    rows.append(("length", recipe.length, False))
    table(["setting", "value", ""], [[key, str(value), "our reading" if ours else ""] for key, value, ours in rows])
    others = [key for key in recipe.reconstruction if key not in recipe.settings and key != "processes"]
    if others:
        click.echo(f"our reading too: {', '.join(others)}")
    click.echo()
    for line in lines:
        click.echo(line)

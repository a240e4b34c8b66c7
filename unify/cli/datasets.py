"""`unify datasets`: what can be read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from unify.cli.options import json_option, mappings_option
from unify.cli.show import json_line, table


@click.command("datasets")
@click.option("--markdown", is_flag=True, help="As a page, with layouts, licences and citations.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A unify.toml that describes datasets of your own; ./unify.toml is read if present.",
)
@mappings_option
@json_option
def datasets_command(markdown: bool, config: Path | None, mappings: Path | None, as_json: bool) -> None:
    """List the datasets that can be read: releases, classes, split sizes, label spaces they can go to.

    \b
    Example:
      unify datasets
      unify datasets --markdown > datasets.md
    """
    if markdown and as_json:
        raise click.UsageError("Use just one of --markdown and --json.")
    from unify.catalogue import catalogue, page
    from unify.roots import known_sources

    found = catalogue(known_sources(config), (mappings,) if mappings else ())
    if as_json:
        json_line([dataclasses.asdict(facts) for facts in found])
    elif markdown:
        click.echo(page(found), nl=False)
    else:
        rows = [
            (d.letter, d.name, r.name, r.raw_classes, r.classes, _counts(r.splits), ", ".join(r.goes_to))
            for d in found
            for r in d.releases
        ]
        table(["letter", "dataset", "release", "ids", "classes", "images", "can go to"], rows)


def _counts(splits: dict[str, int]) -> str:
    return ", ".join(f"{split} {n}" for split, n in splits.items())

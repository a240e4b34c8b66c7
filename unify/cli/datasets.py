"""`unify datasets`: what can be read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unify.cli.options import json_option, mappings_option
from unify.cli.show import json_line, table

if TYPE_CHECKING:
    from unify.catalogue import DatasetFacts


@click.command("datasets", short_help="List the datasets that can be read, or show one.")
@click.argument("name", required=False)
@click.option("--markdown", is_flag=True, help="As a page, with layouts, licences and citations.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A unify.toml that describes datasets of your own; ./unify.toml is read if present.",
)
@mappings_option
@json_option
def datasets_command(
    name: str | None, markdown: bool, config: Path | None, mappings: Path | None, as_json: bool
) -> None:
    """List the datasets that can be read: releases, classes, split sizes, label spaces they can go to.

    With NAME, a dataset's name or letter, all about this one: what its folder holds, which files are read, splits
    with their official sizes, licence.

    \b
    Example:
      unify datasets
      unify datasets cityscapes
      unify datasets --markdown > datasets.md
    """
    if markdown and (as_json or name is not None):
        raise click.UsageError("--markdown is a page on all of them: leave NAME and --json out.")
    from unify.catalogue import catalogue, page
    from unify.roots import known_sources
    from unify.sources import source_named

    sources, search = known_sources(config), (mappings,) if mappings else ()
    if name is not None:
        source = source_named(name, sources)
        (one,) = catalogue({source.name: source}, search)
        json_line(dataclasses.asdict(one)) if as_json else _show(one)
        return
    found = catalogue(sources, search)
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


def _show(one: DatasetFacts) -> None:
    from unify.publish.licences import VERDICTS

    click.echo(f"{one.letter}, {one.name}: {one.title}")
    _lines({
        "home": one.homepage,
        "licence": f"{one.licence}: {VERDICTS[one.sharing]}",
        "to cite": one.citation,
        "its root holds": one.layout,
        "tried on real data": one.tried or "no",
    })  # fmt: skip
    for release in one.releases:
        click.echo(f"\n{one.letter}@{release.name}")
        _lines({
            "images": _counts(release.splits),
            "not to be built": "; ".join(f"{split}: {why}" for split, why in release.withheld.items()),
            "labels read": f"{release.label_file} ({release.label})",
            "things told apart": release.instances or "no",
            "label space": f"{release.space}, {release.raw_classes} ids",
            "trained in": f"{release.train_space}, {release.classes} classes",
            "can go to": ", ".join(release.goes_to),
        })  # fmt: skip


def _lines(facts: Mapping[str, str]) -> None:
    """Those that there are."""
    for what, text in facts.items():
        if text:
            click.echo(f"  {what:<18}  {text}")


def _counts(splits: dict[str, int]) -> str:
    """Of a dataset of the user's own, no numbers are known."""
    return ", ".join(f"{split} {n}" if n else split for split, n in splits.items())

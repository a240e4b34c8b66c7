"""`unify spaces`: the label spaces there are, and how the sources map into them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from unify.cli.options import json_option, mappings_option
from unify.cli.show import json_line, table
from unify.errors import UnifyError

if TYPE_CHECKING:
    from unify.taxonomy import Taxonomy


@click.command("spaces")
@click.argument("name", required=False)
@click.option(
    "--datasets",
    metavar="C,I,B,M",
    help="Show the naive union of these datasets, by letter or name (M@v2.0 picks a release).",
)
@click.option("--check", is_flag=True, help="Validate every file and list all that is wrong (exit 78).")
@mappings_option
@json_option
@click.pass_context
def spaces(
    ctx: click.Context, name: str | None, datasets: str | None, check: bool, mappings: Path | None, as_json: bool
) -> None:
    """List the label spaces, or show one: classes, raw ids of each source, who annotates what.

    \b
    Example:
      unify spaces
      unify spaces union70
      unify spaces --datasets C,I --json
    """
    if (name is not None) + (datasets is not None) + check > 1:
        raise click.UsageError("Use just one of NAME, --datasets and --check.")
    search = (mappings,) if mappings else ()
    if check:
        ctx.exit(_check(search, as_json))
    elif name is not None or datasets is not None:
        taxonomy = _one(name, search) if name is not None else _union(str(datasets), search)
        _print(taxonomy) if not as_json else json_line(taxonomy.overview())
    else:
        _list(search, as_json)


def _check(search: tuple[Path, ...], as_json: bool) -> int:
    """Print every problem of every file; the exit code."""
    from unify.mapping import validate_all

    try:
        validate_all(search)
    except UnifyError as e:
        facts = [{"kind": p.kind, "path": p.path, "what": p.what, "fix": p.fix} for p in e.problems]
        if as_json:
            json_line({"ok": False, "problems": facts})
        else:
            for problem in e.problems:
                click.echo(f"unify: {problem}", err=True)
        return e.exit_code
    json_line({"ok": True, "problems": []}) if as_json else click.echo("All label spaces and mappings are sound.")
    return 0


def _one(name: str, search: tuple[Path, ...]) -> Taxonomy:
    from unify.taxonomy import taxonomy_of

    return taxonomy_of(name, search)


def _union(datasets: str, search: tuple[Path, ...]) -> Taxonomy:
    """The naive union of the datasets' training spaces; of a dataset without a release, its first."""
    from unify.roots import parse_datasets
    from unify.sources import SOURCES
    from unify.taxonomy import taxonomy_for

    wanted = [(SOURCES[w.source].releases, w.release) for w in parse_datasets(datasets)]
    chosen = [releases[release or next(iter(releases))] for releases, release in wanted]
    return taxonomy_for(
        {release.space: release.space for release in chosen},
        {release.space: release.train_space for release in chosen},
        search=search,
    )


def _list(search: tuple[Path, ...], as_json: bool) -> None:
    from unify.mapping import mapped_spaces
    from unify.spaces import load_space, space_names

    known = [(load_space(name, search), mapped_spaces(name, search)) for name in space_names(search)]
    if as_json:
        json_line([{"name": s.name, "classes": len(s), "title": s.title, "sources": list(m)} for s, m in known])
    else:
        table(("space", "classes", "mapped from", "title"), [(s.name, len(s), ", ".join(m), s.title) for s, m in known])


def _print(taxonomy: Taxonomy) -> None:
    """Classes with a column for each source that annotates some, then each source's raw ids."""
    space, names = taxonomy.space, taxonomy.sources
    click.echo(f"{space.name}: {len(space)} classes, void {space.void}")
    for line in (space.title, space.reference):
        if line:
            click.echo(f"  {line}")
    click.echo()
    marks = taxonomy.null_mask.T
    table(
        ("id", "class", "color", *names),
        [
            (c.id, c.name, "#{:02x}{:02x}{:02x}".format(*c.color), *("x" if m else "" for m in row))
            for c, row in zip(space.classes, marks, strict=True)
        ],
    )
    if taxonomy.sets:
        click.echo("\nSets, where a source does not tell classes apart:")
        first = len(space)
        table(("id", "one of"), [(first + i, ", ".join(rule)) for i, rule in enumerate(taxonomy.sets)])
    for name, mapping in taxonomy.mappings.items():
        click.echo(f"\n{name}: {len(mapping.source)} raw ids")
        codes = taxonomy.table(name)
        table(
            ("raw id", "raw class", "id", "class"),
            [
                (c.id, c.name, int(codes[c.id % 256]), " | ".join(mapping.rules[c.name]) or "void")
                for c in mapping.source.classes
            ],
        )

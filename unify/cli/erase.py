"""`unify erase`: a version whose images lack some classes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unify.cli.derived import commit_job, facts, line, version_options
from unify.cli.show import json_line, table

if TYPE_CHECKING:
    from unify.commit import Result
    from unify.erase import Erasure


@click.command("erase", short_help="Make unbiased test sets by erasing classes.")
@click.argument("path")
@click.option("--classes", multiple=True, metavar="NAME[,NAME]", help="Classes to erase together. Repeatable.")
@click.option(
    "--influence",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help='A set for each class of this JSON file, {"car": {"road": 0.4, "sky": 0.1}, ...}: without the classes '
    "of the largest influence on it.",
)
@click.option("--top", type=click.IntRange(1), default=3, show_default=True, help="How many, with --influence.")
@click.option("--fill", default="mean", show_default=True, help="mean (ImageNet's), black, noise or inpaint.")
@click.option(
    "--labels", default="keep", show_default=True, help="Of erased pixels: keep, or void so that they do not count."
)
@click.option("--split", "splits", multiple=True, help="Only this split. Repeatable.")
@click.option("--only-touched", is_flag=True, help="Leave out images that show none of the classes.")
@version_options
def erase_command(
    path: str,
    classes: tuple[str, ...],
    influence: Path | None,
    top: int,
    fill: str,
    labels: str,
    splits: tuple[str, ...],
    only_touched: bool,
    out: Path,
    name: str | None,
    config: Path | None,
    workers: int | None,
    as_json: bool,
) -> None:
    """Fill in every pixel of some classes: unbiased test sets.

    Erased images become lossless PNGs, all other pixels bit for bit what they were; images without such a
    pixel are kept as they are. The column `erased` is the mask. With --influence there is a version for each
    class, NAME-erase-for-CLASS, else a single one, NAME-erase-CLASSES.

    \b
    Example:
      unify erase cibm-union70 --classes road --split val
      unify erase cibm-union70 --influence influence.json --top 3 --labels void
    """
    started = time.monotonic()
    from unify.artifact import locate
    from unify.erase import Options, erasure, erasures, read_influence
    from unify.errors import error
    from unify.roots import known_sources

    if bool(classes) == bool(influence):
        raise error("usage", "", "either --classes or --influence is due", "try --classes road")
    parent = locate(path, out)
    options = Options(fill, labels, splits, only_touched)  # type: ignore[arg-type]  # it is checked there
    sources = known_sources(config)
    if influence:
        found = read_influence(influence, parent.taxonomy.space)
        sets = erasures(parent, found, top, options, name=name, sources=sources)
    else:
        names = [name.strip() for text in classes for name in text.split(",")]
        sets = {"": erasure(parent, names, options, name=name, sources=sources)}
    done = []
    for target, one in sets.items():
        result = commit_job("erase", one.job, parent, out, workers, quiet=as_json)
        if as_json:
            done.append(_plain(target, one, result))
        else:
            _print(one, result, time.monotonic() - started)
        started = time.monotonic()
    if as_json:
        json_line(done if influence else done[0])


def _plain(target: str, one: Erasure, result: Result) -> dict[str, object]:
    found = {"for": target} if target else {}
    return {**found, **facts(result), "touched": one.touched, "erased": one.table.to_pylist()}


def _print(one: Erasure, result: Result, seconds: float) -> None:
    rows = one.table.to_pylist()
    shown = [(r["source"], r["split"], r["class"], r["images"], r["pixels"], f"{100 * r['share']:.2f}") for r in rows]
    table(["source", "split", "erased", "images", "pixels", "% of pixels"], shown)
    click.echo(line(result, seconds))
    click.echo(f"{one.touched:,} of its images had something erased")

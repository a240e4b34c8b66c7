"""`unify croissant`: machine-readable metadata of a version."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("croissant", short_help="Describe a version in Croissant JSON-LD.")
@click.argument("path")
@click.option(
    "-o",
    "--out",
    "target",
    type=click.Path(path_type=Path),
    help="File to write, in a folder above the version; printed by default.",
)
@click.option("--url", help="Git repository that the version is published in, such as a dataset on Hugging Face.")
@click.option("--date", "published", help="Date of publication, YYYY-MM-DD; by default the day it was built.")
@click.option("--root", default="out", show_default=True, help="Where versions given by name lie.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A unify.toml that describes datasets of your own; ./unify.toml is read if present.",
)
def croissant_command(
    path: str, target: Path | None, url: str | None, published: str | None, root: str, config: Path | None
) -> None:
    """Describe a version in Croissant 1.0 JSON-LD: files, columns, classes, licences, citation.

    `mlcroissant` and dataset search engines read it. Without --url it describes the files on this disk: printed,
    as seen from the version's own folder; in a file, as seen from that file's folder, which has to be above it.

    \b
    Example:
      unify croissant cibm-union70
      unify croissant cibm-union70 -o out/cibm-union70/croissant.json
    """
    from unify.artifact import locate
    from unify.publish.croissant import croissant, day_built, prefix_from
    from unify.roots import known_sources
    from unify.storage import make_dirs, write_file

    artifact = locate(path, root)
    prefix = prefix_from(target, artifact) if target and not url else ""
    found = croissant(
        artifact,
        published=_checked(published) if published else day_built(artifact),
        url=url,
        prefix=prefix,
        sources=known_sources(config),
    )
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    if target is None:
        click.echo(text, nl=False)
        return
    make_dirs(target.absolute().parent)
    write_file(target, text.encode())
    click.echo(f"{target}: {artifact.manifest.name} {artifact.manifest.version} ({artifact.digest[:12]})")


def _checked(day: str) -> str:
    from datetime import date

    from unify.errors import error

    try:
        return date.fromisoformat(day).isoformat()
    except ValueError:
        raise error("usage", "", f"--date {day!r} is no date", "write it as 2026-01-31") from None

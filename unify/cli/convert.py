"""`unify convert`: a version in another label space, from a version."""

from __future__ import annotations

import time
from pathlib import Path

import click

from unify.cli.derived import commit_and_print, version_options
from unify.cli.options import mappings_option, variant_option


@click.command("convert", short_help="Map a version onward to another label space.")
@click.argument("path")
@click.option("--space", required=True, help="Target label space.")
@variant_option
@mappings_option
@version_options
def convert_command(
    path: str,
    space: str,
    variants: tuple[str, ...],
    mappings: Path | None,
    out: Path,
    name: str | None,
    config: Path | None,
    workers: int | None,
    as_json: bool,
) -> None:
    """Map an existing version onward to another label space; no raw file is needed.

    The labels become what `unify build --space` would give. Where classes that are one now would have to be
    told apart, it says which; versions that were built with --native can go anywhere. --variant takes another
    reading of the mapping tables, also of the space that the version is in.

    \b
    Example:
      unify convert cibm-union70 --space cityscapes19
    """
    started = time.monotonic()
    from unify.artifact import locate
    from unify.convert import conversion
    from unify.roots import known_sources

    parent = locate(path, out)
    search = (mappings,) if mappings else ()
    job = conversion(parent, space, variants=variants, name=name, search=search, sources=known_sources(config))
    commit_and_print("convert", job, parent, out, workers=workers, as_json=as_json, started=started)

"""`unify export`: a version as folders of files, for other trainers."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from unify.cli.options import json_option
from unify.cli.show import duration, json_line, progress, size, table


@click.command("export", short_help="Write a version as folders for other trainers.")
@click.argument("path")
@click.option("--layout", required=True, metavar="NAME", help="mmseg or cityscapes.")
@click.option(
    "-o",
    "--out",
    "target",
    required=True,
    type=click.Path(path_type=Path),
    help="The folder to write; it must be new or empty.",
)
@click.option("--split", "splits", multiple=True, help="Only this split. Repeatable.")
@click.option("--source", "sources", multiple=True, help="Only this source. Repeatable.")
@click.option("--png", is_flag=True, help="Write JPEG images as PNG: slower and larger, but one suffix for all.")
@click.option("--root", default="out", show_default=True, help="Where versions given by name lie.")
@click.option("-j", "--workers", type=click.IntRange(1), help="Threads that write; by default one a core, up to 8.")
@json_option
def export_command(
    path: str,
    layout: str,
    target: Path,
    splits: tuple[str, ...],
    sources: tuple[str, ...],
    png: bool,
    root: str,
    workers: int | None,
    as_json: bool,
) -> None:
    """Write a version as a folder that other trainers read: mmsegmentation's layout or Cityscapes'.

    Images are the sources' own bytes, labels the version's: ids from 0, 255 void. Beside them lie dataset.py
    (a config for mmsegmentation 1.x), classes.csv, id2label.json, samples.csv (which file is which sample)
    and export.json (the version's digest and every file's). The folder appears whole or not at all.

    \b
    Example:
      unify export cibm-union70 --layout mmseg -o exported
      unify export cb-cityscapes19 --layout cityscapes --split val --png -o exported
    """
    started = time.monotonic()
    from unify.artifact import locate
    from unify.publish.export import export

    artifact = locate(path, root)
    per_source = artifact.manifest.sources
    total = sum(
        n
        for source, facts in per_source.items()
        for split, n in facts["splits"].items()
        if (not splits or split in splits) and (not sources or source in sources)
    )
    with progress("export", total, quiet=as_json) as advance:
        done = export(
            artifact,
            layout,
            target,
            splits=splits,
            sources=sources,
            png=png,
            workers=workers or min(8, os.cpu_count() or 1),
            progress=advance,
        )
    rows = [(split, source, suffix, n) for (split, source, suffix), n in done.counts.items()]
    if as_json:
        json_line(
            {
                "path": str(done.path),
                "layout": done.layout,
                "parent": artifact.digest,
                "images": done.images,
                "files": done.files,
                "bytes": done.n_bytes,
                "counts": [dict(zip(("split", "source", "suffix", "images"), row, strict=True)) for row in rows],
                "notes": done.notes,
            }
        )
        return
    table(["split", "source", "suffix", "images"], rows)
    for note in done.notes:
        click.echo(f"note: {note}")
    seconds = duration(time.monotonic() - started)
    click.echo(f"{done.path}: {done.images:,} images, {done.files:,} files, {size(done.n_bytes)} in {seconds}")

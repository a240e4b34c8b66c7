"""`unify view`: pictures of a version."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def view() -> None:
    """Pictures of a version."""


@view.command("sheet")
@click.argument("path")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("sheet.png"),
    show_default=True,
    help="PNG or JPEG file to write.",
)
@click.option("--per-source", type=click.IntRange(1), default=2, show_default=True, help="Samples of each source.")
@click.option("--split", help="Only this split.")
@click.option("--root", default="out", show_default=True, help="Where versions given by name lie.")
def sheet_command(path: str, output: Path, per_source: int, split: str | None, root: str) -> None:
    """A contact sheet: image, the source's own label (built with --native), unified label, legend.

    \b
    Example:
      unify view sheet out/cibm-union70/1.0.0 -o sheet.png
    """
    from unify import storage
    from unify.artifact import locate
    from unify.report.draw import encode
    from unify.report.sheet import contact_sheet, pick

    artifact = locate(path, root)
    samples = list(pick(artifact, per_source, split))
    storage.write_file(output, encode(contact_sheet(artifact, samples), output.suffix))
    click.echo(f"{output}: {len(samples)} samples of {artifact.manifest.name} {artifact.manifest.version}")

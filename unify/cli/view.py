"""`unify view`: pictures of a version."""

from __future__ import annotations

from pathlib import Path

import click

from unify.cli.options import json_option
from unify.cli.show import counted, json_line


@click.group()
def view() -> None:
    """Pictures of a version."""


@view.command("sheet", short_help="Images and labels side by side.")
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

    Of the source's own label, what keeps its name is pale; below stands what becomes of the rest.

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


@view.command("cpp", short_help="What a label loses when it is made small.")
@click.argument("path")
@click.option(
    "--sample", metavar="ID", help="Which sample, by its sample_id; by default the one with the most classes."
)
@click.option("--scales", default="4,8,16,32", show_default=True, metavar="LIST", help="Sides of the cells, pixels.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("cpp.png"),
    show_default=True,
    help="PNG or JPEG file to write.",
)
@click.option("--root", default="out", show_default=True, help="Where versions given by name lie.")
@json_option
def cpp_command(path: str, sample: str | None, scales: str, output: Path, root: str, as_json: bool) -> None:
    """A label made small: the nearest pixel's class, and shares of classes (CPP), at each scale.

    A region is connected and of one class. Rings are around the largest of which the nearest label has nothing left.

    \b
    Example:
      unify view cpp out/cibm-union70/1.0.0 --sample cityscapes/val/frankfurt_000000_000294 -o cpp.png
    """
    from unify import storage
    from unify.artifact import locate
    from unify.cpp import parse_scales
    from unify.report.draw import encode
    from unify.report.pooled import lost, pooled_sheet, regions, sample_of

    chosen = parse_scales(scales, "--scales")
    artifact = locate(path, root)
    found = sample_of(artifact, sample)
    storage.write_file(output, encode(pooled_sheet(artifact, found, chosen), output.suffix))
    there, index_hw = regions(found.label_hw, len(artifact.taxonomy.space))
    gone = {scale: len(lost(there, index_hw, scale)) for scale in chosen}
    if as_json:
        facts = {"path": str(output), "sample_id": found.sample_id, "regions": len(there)}
        json_line({**facts, "lost": {str(scale): count for scale, count in gone.items()}})
        return
    told = ", ".join(f"{count} at 1/{scale}" for scale, count in gone.items())
    click.echo(f"{output}: {found.sample_id}, {counted(len(there), 'region')}; nearest loses {told}")

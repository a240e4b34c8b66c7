"""`unify prepare`: label images for the two datasets that ship none."""

from __future__ import annotations

from pathlib import Path

import click

from unify.cli.show import counted, progress


@click.group(short_help="Make label images for datasets without any.")
def prepare() -> None:
    """Make label images of datasets that ship none, once, beside their own files."""


@prepare.command("wilddash", short_help="Paint the label images of WildDash 2.")
@click.argument("root", type=click.Path(path_type=Path, file_okay=False))
def wilddash(root: Path) -> None:
    """Paint WildDash 2's semantic/*.png from panoptic.json and panoptic/, below ROOT.

    Also instance/*.png, for `unify build --instances`; of public_02, which has labels/, these alone.

    \b
    Example:
      unify prepare wilddash /data/wilddash2
    """
    from unify.sources.panoptic import paint
    from unify.sources.wilddash import detect

    found = detect(root)  # which may lie in the folder that the archive is named after
    root = found.root if found else root
    with progress("prepare", 4256) as advance:
        count, has_painted_labels = paint(root, progress=lambda: advance(1, 0))
    if has_painted_labels:
        click.echo(f"{root / 'semantic'}: {counted(count, 'label image')}")
    click.echo(f"{root / 'instance'}: {counted(count, 'instance image')}")


@prepare.command("nyu", short_help="Extract NYU-Depth-v2 from its .mat files.")
@click.argument("mat", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("splits", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
def nyu(mat: Path, splits: Path, out: Path) -> None:
    """Extract NYU-Depth-v2's images and labels from its .mat files into the folder OUT.

    \b
    Example:
      unify prepare nyu nyu_depth_v2_labeled.mat splits.mat /data/nyu
    """
    from unify.sources.nyu_mat import extract

    with progress("prepare", 1449) as advance:
        count = extract(mat, splits, out, progress=lambda: advance(1, 0))
    click.echo(f"{out}: {counted(count, 'pair')}")

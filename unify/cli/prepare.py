"""`unify prepare`: label images for the two datasets that ship none."""

from __future__ import annotations

from pathlib import Path

import click

from unify.cli.show import counted, progress


@click.group()
def prepare() -> None:
    """Make label images of datasets that ship none, once, beside their own files."""


@prepare.command("wilddash")
@click.argument("root", type=click.Path(path_type=Path, file_okay=False))
def wilddash(root: Path) -> None:
    """Paint WildDash 2's semantic/*.png from panoptic.json and panoptic/, below ROOT.

    \b
    Example:
      unify prepare wilddash /data/wilddash2
    """
    from unify.sources.panoptic import paint

    with progress("prepare", 4256) as advance:
        count = paint(root, progress=lambda: advance(1, 0))
    click.echo(f"{root / 'semantic'}: {counted(count, 'label image')}")


@prepare.command("nyu")
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

"""`unify demo`: the main job, from raw roots to pictures, on the embedded street world."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command("demo")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("demo"))
@click.option("--images", type=click.IntRange(4), default=8, show_default=True, help="Training images per dataset.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, other streets.")
@click.pass_context
def demo_command(context: click.Context, folder: Path, images: int, seed: int) -> None:
    """Sample, doctor, build, verify, stats, contact sheet: each step printed as the command it is.

    \b
    Example:
      unify demo demo
    """
    streets, out = str(folder / "streets"), str(folder / "out")
    datasets = "C,I,B,M"
    steps = (
        ["sample", streets, "--datasets", datasets, "--images", str(images), "--seed", str(seed)],
        ["doctor", "--root", streets],
        ["build", "--datasets", datasets, "--root", streets, "--out", out, "--native"],
        ["list", out],
        ["verify", "cibm-union70", "--root", out],
        ["stats", "cibm-union70", "--root", out],
        ["view", "sheet", "cibm-union70", "--root", out, "-o", str(folder / "sheet.png")],
    )
    app = context.find_root().command
    for step in steps:
        click.secho(f"$ unify {' '.join(step)}", bold=True)
        code = app.main(step, prog_name="unify", standalone_mode=False)
        if code:
            sys.exit(code)
        click.echo()
    click.echo(f"Look at {folder / 'sheet.png'}, then open the dataset:")
    click.echo(f"  python -c 'import datasets; print(datasets.load_dataset(\"{out}/cibm-union70/1.0.0\"))'")

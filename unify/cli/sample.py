"""`unify sample`: generated street scenes, as raw roots in their true layouts."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from unify.cli.options import json_option
from unify.cli.show import duration, json_line, progress


@click.command("sample", short_help="Write generated streets as raw datasets.")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--datasets", default="C,I,B,M", show_default=True, help="Which datasets to imitate, by letter or name.")
@click.option(
    "--images",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Training images per dataset; a quarter as many for validation or testing.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same bytes.")
@click.option(
    "--scale",
    type=click.FloatRange(0.02, 1.0),
    help="Size as a factor on the datasets' own; small pictures by default.",
)
@click.option("--full-size", is_flag=True, help="The datasets' own sizes: 2048x1024, up to 4032x3024.")
@click.option(
    "--layout",
    "layouts",
    multiple=True,
    metavar="DATASET=NAME",
    help="Another of a dataset's layouts: cityscapes=coarse or fine+coarse, bdd100k=seg, mapillary=v1, "
    "camvid=original, wilddash=v2p0, voc=voc2012, nyu=mat. Repeatable.",
)
@click.option(
    "--colocation",
    type=click.FloatRange(0.0, 1.0),
    metavar="STRENGTH",
    help="Plant a bias: people beside buses and not trucks, fences behind bicycles and not motorcycles, as strongly "
    "as this (0..1) in training, and by chance elsewhere.",
)
@click.option(
    "--alike",
    is_flag=True,
    help="All datasets show the same kinds of streets, regions and weather, and differ in camera, colours and labels "
    "alone; otherwise each has its own.",
)
@click.option(
    "-j", "--workers", type=click.IntRange(1), help="Processes; by default all cores, or fewer for few images."
)
@click.option("--force", is_flag=True, help="Replace an earlier sample in the same folder.")
@json_option
def sample(
    directory: Path,
    datasets: str,
    images: int,
    seed: int,
    scale: float | None,
    full_size: bool,
    layouts: tuple[str, ...],
    colocation: float | None,
    alike: bool,
    workers: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write generated street scenes as raw datasets, with the truth about them.

    Each dataset gets a folder of its name in DIRECTORY, in its own layout and with its own classes, so
    that `--root DIRECTORY` finds them; VOC, Pascal Context and NYU show coloured shapes instead of streets.
    truth.json says what every concept is called where, and marks the roots as generated. The same command
    again takes over what an interrupted one has left.

    \b
    Example:
      unify sample streets --datasets C,I,B,M --images 8 --seed 0
      unify sample streets --datasets C,K,A,W --layout cityscapes=fine+coarse
      unify sample biased --datasets C --images 200 --scale 0.125 --colocation 1
      unify sample labels-alone --datasets C,I,B,M --images 120 --alike
    """
    from unify.sample import write_streets
    from unify.sample.write import chosen_layouts, source_names, split_sizes

    if scale is not None and full_size:
        raise click.UsageError("Use just one of --scale and --full-size.")
    chosen = dict(_split(text) for text in layouts)
    names = source_names(datasets.split(","))
    layout_of = chosen_layouts(chosen)
    total = sum(sum(split_sizes(name, images, layout_of[name]).values()) for name in names)
    started = time.monotonic()
    with progress("sample", total, quiet=as_json) as advance:
        write_streets(
            directory,
            names,
            images,
            seed,
            size=scale or ("full" if full_size else "small"),
            layouts=chosen,
            colocation=colocation,
            alike=alike,
            workers=workers or min(os.cpu_count() or 1, max(1, total // 8)),
            force=force,
            progress=advance,
        )
    seconds = time.monotonic() - started
    if as_json:
        json_line({"path": str(directory), "images": total, "seconds": round(seconds, 3)})
    else:
        click.echo(f"{directory}: {total:,} images in {duration(seconds)}")


def _split(text: str) -> tuple[str, str]:
    source, equals, layout = text.partition("=")
    if not equals:
        raise click.BadParameter(f"'{text}' is not DATASET=NAME", param_hint="--layout")
    return source, layout

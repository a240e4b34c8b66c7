"""`unify evaluate`: how good a checkpoint is on a split of a version."""

from __future__ import annotations

from pathlib import Path

import click

from unify.cli.options import json_option
from unify.cli.show import counted, json_line, progress, table
from unify.cli.train import trainers


@click.command("evaluate")
@click.argument("checkpoint", metavar="CKPT", type=click.Path(path_type=Path))
@click.option("--data", required=True, metavar="PATH", help="The version: a folder, or a name below --root.")
@click.option("--split", default="val", show_default=True, help="Which of its splits.")
@click.option("--space", help="The label space to score in; has to be that of the version.")
@click.option(
    "--relations", type=click.Path(path_type=Path, file_okay=False),
    help="Project to other spaces by this folder of `unify relations` too, not by name alone.",
)  # fmt: skip
@click.option(
    "--how", type=click.Choice(["max", "sum"]), default="max", show_default=True,
    help="Of several classes that count for one: the greatest logit, or the sum of probabilities.",
)  # fmt: skip
@click.option(
    "--answers", type=click.Choice(["source", "all"]), default="source", show_default=True,
    help="Answer with a class that the image's source annotates, or with any.",
)  # fmt: skip
@click.option("--short-side", type=click.IntRange(0), default=0, help="Bring the shorter side to so many pixels.")
@click.option("--scale", "scales", type=float, multiple=True, help="Average over these scales. Repeatable.")
@click.option("--flip", is_flag=True, help="Average with the mirrored image.")
@click.option("--window", type=click.IntRange(0), default=0, help="Slide a square window of so many pixels.")
@click.option("--stride", type=click.IntRange(0), default=0, help="Between windows; by default two thirds of one.")
@click.option("--images", type=click.IntRange(0), default=0, help="At most so many, spread over the split.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda.")
@click.option("--bf16", is_flag=True, help="Run the net in bfloat16.")
@click.option("--root", default="out", show_default=True, help="Where versions given by name lie.")
@json_option
def evaluate_command(
    checkpoint: Path,
    data: str,
    split: str,
    space: str | None,
    relations: Path | None,
    how: str,
    answers: str,
    short_side: int,
    scales: tuple[float, ...],
    flip: bool,
    window: int,
    stride: int,
    images: int,
    device: str,
    bf16: bool,
    root: str,
    as_json: bool,
) -> None:
    """Score a net: one confusion matrix over all pixels of a split, void left out, and IoU per class.

    A net that answers in another label space is projected: each class of the version gets the answers of the classes
    of its name, as mappings/projections say, and with --relations those that are related to it. Classes without a
    counterpart are listed, and not scored.

    \b
    Example:
      unify evaluate runs/null/ckpt.pt --data cibm-union70
      unify evaluate runs/null --data v-camvid11 --split test --space camvid11 --flip
    """
    module = trainers("evaluate")
    from unify.artifact import locate

    artifact = locate(data, root)
    views = module.Views(short_side, scales or (1.0,), flip, window, stride)
    total = sum(source["splits"].get(split, 0) for source in artifact.manifest.sources.values())
    with progress("evaluate", min(images, total) if images else total, quiet=as_json) as advance:
        found = module.evaluate(
            checkpoint,
            artifact,
            split=split,
            space=space,
            views=views,
            relations=relations,
            how=how,
            answers=answers,
            device=device,
            bf16=bf16,
            images=images,
            advance=advance,
        )
    if as_json:
        json_line({"path": str(checkpoint), **found})
        return
    table(["class", "IoU"], [[name, _percent(v)] for name, v in found["iou"].items() if v is not None])
    click.echo()
    for source, facts in found["sources"].items():
        if len(found["sources"]) > 1:
            click.echo(f"{source}: mIoU {_percent(facts['miou'])}")
    scores = {"mIoU": "miou", "frequency weighted": "frequency_weighted_iou", "pixel accuracy": "pixel_accuracy"}
    told = ", ".join(f"{name} {_percent(found[key])}" for name, key in scores.items())
    click.echo(f"{told} on {counted(found['images'], 'image')} of {split}, in {found['space']}")
    if found["without"]:
        click.echo(f"not scored, without a counterpart: {', '.join(found['without'])}")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"

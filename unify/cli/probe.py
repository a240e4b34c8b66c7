"""`unify probe`: what a net's features hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from unify.cli.options import json_option
from unify.cli.show import json_line, progress, table
from unify.cli.train import trainers


@click.group("probe")
def probe() -> None:
    """Ask what a net's features hold.

    \b
    Example:
      unify probe dropclass runs/drop --data c-cityscapes19 --class pole
    """


@probe.command("dropclass", short_help="Ask features for a class that was dropped.")
@click.argument("checkpoints", metavar="CKPT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--data", required=True, metavar="PATH", help="The version: a folder, or a name below --root.")
@click.option("--class", "classes", required=True, multiple=True, metavar="NAME", help="Class to drop. Repeatable.")
@click.option("--split", default="val", show_default=True, help="The split that is scored.")
@click.option("--train-split", default="train", show_default=True, help="The split that the new classifiers learn.")
@click.option("--steps", type=click.IntRange(1), default=300, show_default=True, help="Of the new classifiers.")
@click.option("--batch", type=click.IntRange(1), default=4, show_default=True, help="Images in a step.")
@click.option("--crop", type=click.IntRange(8), default=256, show_default=True, help="Side of the crops, pixels.")
@click.option("--lr", type=click.FloatRange(0, min_open=True), default=1e-2, show_default=True, help="Learning rate.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of weights and crops.")
@click.option(
    "--picture", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="A column for each class, as a PNG: the net's output, and those of the new classifiers.",
)  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda.")
@click.option("--root", default="out", show_default=True, help="Where versions given by name lie.")
@json_option
def dropclass(
    checkpoints: tuple[Path, ...],
    data: str,
    classes: tuple[str, ...],
    split: str,
    train_split: str,
    steps: int,
    batch: int,
    crop: int,
    lr: float,
    seed: int,
    picture: Path | None,
    device: str,
    root: str,
    as_json: bool,
) -> None:
    """Can a class be had back from the features of the others? (DropClass, Appendix A.)

    The net is frozen and the class dropped; a new classifier learns all labels from what is left. The lower its IoU
    for the class beside that of one with nothing dropped, the further apart are the classes' features. A net
    without DropClass's layer, a baseline, is read before its classifier, with the class's share taken out.

    \b
    Example:
      unify probe dropclass runs/drop runs/base --data c-cityscapes19 --class pole --class bicycle --picture probe.png
    """
    from unify.artifact import locate

    module = trainers("probe")
    names = trainers("robustness").names_of(checkpoints)
    artifact = locate(data, root)
    images = sum(source["splits"].get(split, 0) for source in artifact.manifest.sources.values())
    training = module.Training(steps, batch, crop, lr, train_split, seed)
    found: dict[str, Any] = {}
    probed = {}
    with progress("probe", len(checkpoints) * (steps + images), "steps", quiet=as_json) as advance:
        for name, path in zip(names, checkpoints, strict=True):
            found[name], probed[name] = module.probe(
                path, artifact, classes, training=training, split=split, device=device, advance=advance
            )
    if picture is not None:
        from unify import storage
        from unify.report.draw import encode

        storage.make_dirs(picture.resolve().parent)
        storage.write_file(picture, encode(module.draw_probes(probed, artifact, split=split), picture.suffix))
    if as_json:
        json_line(found)
        return
    rows = [
        [name, class_name, facts["path"], *(_percent(iou[key]) for key in ("net", "kept", "dropped"))]
        for name, facts in found.items()
        for class_name, iou in facts["classes"].items()
    ]
    table(["net", "class", "features", "IoU", "new classifier", "class dropped"], rows)
    if picture is not None:
        click.echo(f"\n{picture}")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"

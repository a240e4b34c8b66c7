"""`unify evaluate`: how good a checkpoint is on a split of a version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unify.cli.options import json_option
from unify.cli.show import counted, json_line, progress, table
from unify.cli.train import trainers

if TYPE_CHECKING:
    from unify.artifact import Artifact
    from unify.report.prediction import Prediction
    from unify.spaces import LabelSpace


@click.command("evaluate", short_help="Score a net on a version.")
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
@click.option("--classes", metavar="FILE", help="Names of the classes of a net of other people: a file, or a space.")
@click.option(
    "--vulnerable", metavar="NAMES|FILE|DIR",
    help="Classes of mIoU*: names with commas between them, a file of them, or a folder of `unify influence`, whose 9 "
    "most vulnerable they are then.",
)  # fmt: skip
@click.option(
    "--rare-by", type=click.Choice(["images", "pixels"]), default="images", show_default=True,
    help="mIoU† is over the rarer half of the classes in the version's train split, counted so.",
)  # fmt: skip
@click.option(
    "--absent", type=click.Choice(["skip", "zero"]), default="skip", show_default=True,
    help="In means, pass over classes that are neither there nor predicted, or count 0, as UniSeg's code does.",
)  # fmt: skip
@click.option("--stretch", type=click.IntRange(0), default=0, help="Score at squares of so many pixels, label and all.")
@click.option("--short-side", type=click.IntRange(0), default=0, help="Bring the shorter side to so many pixels.")
@click.option("--scale", "scales", type=float, multiple=True, help="Average over these scales. Repeatable.")
@click.option("--flip", is_flag=True, help="Average with the mirrored image.")
@click.option("--window", type=click.IntRange(0), default=0, help="Slide a square window of so many pixels.")
@click.option("--stride", type=click.IntRange(0), default=0, help="Between windows; by default two thirds of one.")
@click.option("--images", type=click.IntRange(0), default=0, help="At most so many, spread over the split.")
@click.option("--pictures", type=click.IntRange(0), default=0, help="Draw so many of the images into --out.")
@click.option("--multi", metavar="NAMES|all", help="Draw, too, which of these classes light up besides the answer.")
@click.option("-o", "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for the pictures.")
@click.option(
    "--unbiased", multiple=True, metavar="SET",
    help="Score it on erased sets of the version, too, whole images without views, as `unify robustness` does. "
    "Repeatable.",
)  # fmt: skip
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
    classes: str | None,
    vulnerable: str | None,
    rare_by: str,
    absent: str,
    stretch: int,
    short_side: int,
    scales: tuple[float, ...],
    flip: bool,
    window: int,
    stride: int,
    images: int,
    pictures: int,
    multi: str | None,
    out: Path | None,
    unbiased: tuple[str, ...],
    device: str,
    bf16: bool,
    root: str,
    as_json: bool,
) -> None:
    """Score a net: one confusion matrix over all pixels of a split, void left out, and IoU per class.

    A net that answers in another label space is projected: each class of the version gets the answers of the classes
    of its name, as mappings/projections say, and with --relations those that are related to it. Classes without a
    counterpart are listed, and not scored.

    CKPT may be of other people: a folder that transformers saved, or a file of TorchScript or torch.export with
    --classes. It gets RGB of which ImageNet's mean is 0 and its standard deviation 1, or what its
    preprocessor_config.json says. Code in it is refused, not run.

    --pictures draws image, truth, prediction and errors side by side; with --multi below them the classes that the
    image's source does not annotate and the net sees all the same (sigmoid above 0.5, softmax above 0.1).

    \b
    Example:
      unify evaluate runs/null/ckpt.pt --data cibm-union70
      unify evaluate runs/null --data v-camvid11 --split test --space camvid11 --flip
      unify evaluate runs/null --data cibm-union70 --pictures 8 --multi all --out out/pictures
      unify evaluate theirs.ts --classes cityscapes19 --data c-cityscapes19 --vulnerable out/influence
    """
    module = trainers("evaluate")
    from unify.artifact import locate

    if bool(pictures) != (out is not None):
        raise click.UsageError("--pictures and --out go together.")
    if multi is not None and not pictures:
        raise click.UsageError("--multi goes with --pictures.")
    if unbiased and stretch:
        raise click.UsageError("--unbiased scores at the labels' own sizes: leave --stretch out.")
    artifact = locate(data, root)
    sets = _sets(unbiased, root)
    views = module.Views(short_side, scales or (1.0,), flip, window, stride)
    prone = _vulnerable(vulnerable, artifact.taxonomy.space)
    lights = None if multi is None else _names(multi)
    drawn: list[str] = []
    total = sum(source["splits"].get(split, 0) for source in artifact.manifest.sources.values())
    with progress("evaluate", min(images, total) if images else total, quiet=as_json) as advance:
        found = module.evaluate(
            checkpoint,
            artifact,
            split=split,
            space=space,
            classes=classes,
            views=views,
            stretch=stretch,
            relations=relations,
            how=how,
            answers=answers,
            absent=absent,
            vulnerable=prone,
            rare_by=rare_by,
            device=device,
            bf16=bf16,
            images=images,
            pictures=pictures,
            multi=lights,
            show=lambda prediction: drawn.append(_draw(prediction, out)),
            advance=advance,
        )
    more: dict[str, Any] = {"pictures": drawn} if drawn else {}
    if sets:
        with progress("unbiased", total * (1 + len(sets)), quiet=as_json) as advance:
            more["robustness"] = trainers("robustness").robustness_of(
                [checkpoint], artifact, sets, split=split, classes=classes, device=device, bf16=bf16, advance=advance
            )
    if as_json:
        json_line({"path": str(checkpoint), **found, **more})
        return
    _print(found)
    if sets:
        click.echo(f"\n{trainers('robustness').table_of(more['robustness']).tall()}")
    if drawn:
        click.echo(f"{out}: {counted(len(drawn), 'picture')}")


def _sets(words: tuple[str, ...], root: str) -> list[Artifact]:
    from unify.unbiased import find_sets

    return find_sets(words, root) if words else []


def _vulnerable(given: str | None, space: LabelSpace) -> tuple[str, ...]:
    from unify.classlists import vulnerable

    return () if given is None else vulnerable(given, space)


def _names(multi: str) -> tuple[str, ...]:
    return () if multi == "all" else tuple(name.strip() for name in multi.split(",") if name.strip())


def _draw(prediction: Prediction, out: Path | None) -> str:
    """Writes the picture; gives its path."""
    from unify import storage
    from unify.report.draw import encode
    from unify.report.prediction import draw_prediction

    assert out is not None
    storage.make_dirs(out)
    file = out / f"{prediction.name}.png"
    storage.write_file(file, encode(draw_prediction(prediction), ".png"))
    return str(file)


def _print(found: dict[str, Any]) -> None:
    marks = dict.fromkeys(found["vulnerable"], "*")
    marks |= {name: marks.get(name, "") + "†" for name in found["rare"]}
    rows = [[f"{name} {marks.get(name, '')}".rstrip(), _percent(v)] for name, v in found["iou"].items()]
    table(["class", "IoU"], [row for row in rows if row[1] != "-"])
    click.echo()
    for source, facts in found["sources"].items():
        if len(found["sources"]) > 1:
            click.echo(f"{source}: mIoU {_percent(facts['miou'])}")
    scores = {"mIoU": "miou", "mIoU*": "miou_star", "mIoU†": "miou_dagger"}
    scores |= {"frequency weighted": "frequency_weighted_iou", "pixel accuracy": "pixel_accuracy"}
    told = ", ".join(f"{name} {_percent(found[key])}" for name, key in scores.items() if key in found)
    click.echo(f"{told} on {counted(found['images'], 'image')} of {found['split']}, in {found['space']}")
    if found["absent"] == "zero":
        click.echo("absent classes count as 0")
    if found["without"]:
        click.echo(f"not scored, without a counterpart: {', '.join(found['without'])}")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"

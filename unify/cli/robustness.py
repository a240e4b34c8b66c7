"""`unify robustness`: what nets lose where the classes that they lean on are erased."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unify.cli.options import json_option
from unify.cli.show import counted, json_line, progress
from unify.cli.train import trainers

if TYPE_CHECKING:
    from unify.unbiased import Unbiased

FORMATS = ("text", "markdown", "latex")


@click.command("robustness", short_help="Score nets with influential classes erased.")
@click.argument("checkpoints", metavar="CKPT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--data", required=True, metavar="PATH", help="The version: a folder, or a name below --root.")
@click.option(
    "--unbiased", "words", required=True, multiple=True, metavar="SET",
    help="What `unify erase` made of it: a folder or name; a name before -for- means the sets of all classes. "
    "Repeatable.",
)  # fmt: skip
@click.option("--split", default="val", show_default=True, help="Which split.")
@click.option(
    "--selecting", type=click.IntRange(1), default=1, show_default=True,
    help="The CKPT, by its place, whose influences the sets were made from: the classes are in the order of its loss.",
)  # fmt: skip
@click.option("--most", type=click.IntRange(1), default=9, show_default=True, help="How many classes mIoU* is of.")
@click.option("--name", "names", multiple=True, help="Of each CKPT, in the same order; by default its folder.")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="text", show_default=True, help="How the table is printed."
)
@click.option(
    "--picture", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Two cases, I over I*, as a PNG: the class that loses most, the images where the first CKPT does.",
)  # fmt: skip
@click.option(
    "--classes", metavar="FILE", help="Names of the classes of nets of other people among them: a file, or a space."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda.")
@click.option("--bf16", is_flag=True, help="Run the net in bfloat16.")
@click.option("--root", default="out", show_default=True, help="Where versions given by name lie.")
@json_option
def robustness_command(
    checkpoints: tuple[Path, ...],
    data: str,
    words: tuple[str, ...],
    split: str,
    selecting: int,
    most: int,
    names: tuple[str, ...],
    form: str,
    picture: Path | None,
    classes: str | None,
    device: str,
    bf16: bool,
    root: str,
    as_json: bool,
) -> None:
    """Score nets on images as they are (I) and without the classes that influence each class most (I*).

    The table is that of DropClass's supplement, B-1: rows I, I* and their difference for each net, the classes
    from the most vulnerable to the least, mIoU, and mIoU* over the most vulnerable. A class's I* is measured on
    its own set alone; erased pixels are void. Images without anything erased are looked at once.

    \b
    Example:
      unify influence --from-model runs/base --data cibm-union70 -o out/influence
      unify erase cibm-union70 --influence out/influence/influence.json --labels void --split val
      unify robustness runs/base runs/drop --data cibm-union70 --unbiased cibm-union70-erase --format markdown
    """
    from unify.artifact import locate
    from unify.unbiased import find_sets, sets_of

    if names and len(names) != len(checkpoints):
        raise click.UsageError(f"{counted(len(names), '--name')} for {counted(len(checkpoints), 'checkpoint')}.")
    if selecting > len(checkpoints):
        raise click.UsageError(f"--selecting {selecting} of {counted(len(checkpoints), 'checkpoint')}.")
    artifact = locate(data, root)
    sets = find_sets(words, root)
    module = trainers("robustness")
    total = sum(source["splits"].get(split, 0) for source in artifact.manifest.sources.values())
    with progress("robustness", total * (1 + len(sets)), quiet=as_json) as advance:
        found = module.robustness_of(
            checkpoints,
            artifact,
            sets,
            split=split,
            names=names,
            selecting=selecting - 1,
            most=most,
            device=device,
            bf16=bf16,
            classes=classes,
            advance=advance,
        )
    if picture is not None:
        from unify import storage
        from unify.report.draw import encode

        first = _worst(found, sets_of(sets, artifact), selecting - 1)
        drawn = module.cases_of(checkpoints, artifact, first, split=split, names=names, device=device, classes=classes)
        storage.make_dirs(picture.resolve().parent)
        storage.write_file(picture, encode(drawn, picture.suffix))
    if as_json:
        json_line(found)
        return
    table = module.table_of(found)
    if form == "text":
        click.echo(table.tall())
        click.echo(f"\n{counted(found['images'], 'image')} of {split}, {counted(len(found['sets']), 'erased set')}")
    else:
        click.echo(table.markdown() if form == "markdown" else table.latex())
    if picture is not None:
        click.echo(f"{picture}: two cases without {', '.join(first.erased)}", err=form != "text")


def _worst(found: Any, sets: Sequence[Unbiased], selecting: int) -> Unbiased:
    """The set of the class that loses most."""
    model = found["models"][selecting]
    lost = {
        name: before - after
        for name, before in model["biased"].items()
        if (after := model["unbiased"][name]) is not None
    }
    return max(sets, key=lambda one: lost.get(one.target or "", -1.0))

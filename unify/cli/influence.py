"""`unify influence`: which classes a net leans on where it answers another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unify.cli.options import json_option
from unify.cli.show import counted, json_line, progress, table
from unify.cli.train import trainers

if TYPE_CHECKING:
    from unify.influence import Influences


@click.command("influence", short_help="Measure how much a net leans on each class.")
@click.option(
    "--from-model", "model", required=True, metavar="CKPT", type=click.Path(path_type=Path), help="A checkpoint."
)
@click.option("--data", metavar="PATH", help="The version that it is tried on: a folder, or a name below --root.")
@click.option("--split", default="val", show_default=True, help="Which of its splits.")
@click.option(
    "--by", type=click.Choice(["erase", "gradient", "cosine"]), default="erase", show_default=True,
    help="IoU that is lost where the other class is erased; the share of the gradient on its pixels; the cosine of "
    "the classifier's rows, which needs no --data.",
)  # fmt: skip
@click.option("--fill", default="mean", show_default=True, help="Of erased pixels: mean, black, noise or inpaint.")
@click.option(
    "--over", type=click.Choice(["all", "same"]), default="all", show_default=True,
    help="IoU before, over all labelled pixels, or only those that are there after erasing too.",
)  # fmt: skip
@click.option("--images", type=click.IntRange(0), default=0, help="At most so many, spread over the split.")
@click.option("--batch", type=click.IntRange(1), default=4, show_default=True, help="Variants of an image at once.")
@click.option("--classes", metavar="FILE", help="Names of the classes of a net of other people: a file, or a space.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda.")
@click.option("--bf16", is_flag=True, help="Run the net in bfloat16.")
@click.option("--root", default="out", show_default=True, help="Where versions given by name lie.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder of the new version; none without.")
@json_option
def influence_command(
    model: Path,
    data: str | None,
    split: str,
    by: str,
    fill: str,
    over: str,
    images: int,
    batch: int,
    classes: str | None,
    device: str,
    bf16: bool,
    root: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure how much a net leans on each class where it answers another, and which classes are vulnerable.

    By erasing: for each pair of classes, the IoU on images that show both, less the IoU where all pixels of the
    other class are filled in and count as void. It costs a forward pass for each image and one more for each
    class that the image shows; --images takes a part of the split. The way the paper (DropClass) measures
    influence is not published: this is our reconstruction.

    CKPT may be of other people, as `unify evaluate` takes them: a folder that transformers saved, or a file of
    TorchScript or torch.export with --classes. Their classes are matched by name.

    The version in --out holds influence.json for `unify erase --influence`, tables, sums, a heat map, a graph.

    \b
    Example:
      unify influence --from-model runs/base --data cibm-union70 -o out/influence
      unify erase cibm-union70 --influence out/influence/influence.json --top 3 --labels void --split val
    """
    from unify.artifact import locate
    from unify.erase import FILLS
    from unify.errors import error
    from unify.spaces import did_you_mean

    if (data is None) != (by == "cosine"):
        raise click.UsageError(
            "--by cosine looks at no --data." if by == "cosine" else f"--by {by} needs --data, the version to look at."
        )
    if classes is not None and by == "cosine":
        raise click.UsageError("--by cosine takes checkpoints of unify only, which know their classes: no --classes.")
    if fill not in FILLS:
        raise error("usage", "--fill", f"no fill '{fill}'{did_you_mean(fill, FILLS)}", f"known: {', '.join(FILLS)}")
    sweep = trainers("influence_sweep")
    artifact = None if data is None else locate(data, root)
    total = 0
    if artifact is not None:
        total = sum(source["splits"].get(split, 0) for source in artifact.manifest.sources.values())
    with progress("influence", min(images, total) if images else total, quiet=as_json) as advance:
        found: Influences = sweep.influence_of(
            model,
            artifact,
            by=by,
            fill=fill,
            over=over,
            split=split,
            images=images,
            batch=batch,
            device=device,
            bf16=bf16,
            classes=classes,
            advance=advance,
        )
    path, note = None, ""
    if out is not None:
        from unify.influence_files import write_influences

        written, fresh = write_influences(found, out, None if artifact is None else artifact.taxonomy)
        path = str(out)
        note = f"{out}{'' if fresh else ': the same as before, nothing to do'} ({written.digest[:12]})"
    if as_json:
        json_line({"path": path, **_plain(found)})
        return
    _print(found)
    if note:
        click.echo(f"\n{note}")


def _plain(found: Influences) -> dict[str, Any]:
    return {
        "by": found.by,
        "settings": dict(found.settings),
        "made_from": dict(found.made_from),
        "vulnerability": found.vulnerability(),
        "top": {name: list(others) for name, others in found.top().items()},
        "never_found": list(found.never_found()),
        "influence": found.ranked(),
    }


def _print(found: Influences) -> None:
    """The classes by vulnerability, and what influences each most."""
    import numpy as np

    place = {name: i for i, name in enumerate(found.classes)}
    errors, ranked, top = found.standard_error(), found.ranked(), found.top()
    scale, digits = (100, 1) if found.by == "erase" else (1, 3)

    def told(name: str, other: str) -> str:
        sure = errors[place[other], place[name]]
        span = f" ±{scale * sure:.{digits}f}" if np.isfinite(sure) else ""
        return f"{other} {scale * ranked[name][other]:.{digits}f}{span}"

    lost = found.never_found()
    rows = [
        [name, f"{scale * value:.{digits}f}", *(told(name, other) for other in top[name]), *[""] * (3 - len(top[name]))]
        if name not in lost
        else [name, "-", *[""] * 3]
        for name, value in found.vulnerability().items()
    ]
    table(["class", "vulnerability", "1.", "2.", "3."], rows)
    seen = found.settings.get("images")
    where = "" if seen is None else f", {counted(int(seen), 'image')} of {found.settings['split']}"
    unit = "; percentage points of IoU, ± a standard error" if found.by == "erase" else ""
    click.echo(f"\n{len(rows)} classes, by {found.by}{where}{unit}")
    if lost:
        click.echo(f"-: no pixel of it is answered rightly, so it has nothing to lose: {len(lost)} of them")

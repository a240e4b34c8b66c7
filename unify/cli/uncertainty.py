"""`unify uncertainty`: how unsure nets are of each image, as a version; `unify view uncertainty` shows it."""

from __future__ import annotations

import time
from pathlib import Path

import click

from unify.cli.derived import facts, line
from unify.cli.options import json_option, out_option
from unify.cli.show import json_line, progress, table
from unify.cli.train import trainers
from unify.cli.view import view

_WEIGHTINGS = ("instance", "pixel", "class", "truth", "shuffled")  # trainers.ops.uncertainty.MAPS, which needs torch
_SHOWN = 5  #: classes that are listed


class _Listing(click.Command):
    """Reads `--from-models A B C` as `--from-model A --from-model B --from-model C`."""

    def parse_args(self, context: click.Context, words: list[str]) -> list[str]:
        told: list[str] = []
        in_list = False
        for word in words:
            if word == "--from-models":
                in_list = True
            elif in_list and not word.startswith("-"):
                told += ["--from-model", word]
            else:
                in_list = False
                told.append(word)
        return super().parse_args(context, told)


@click.command("uncertainty", short_help="Map how unsure an ensemble is of each thing.", cls=_Listing)
@click.option(
    "--from-model", "models", required=True, multiple=True, type=click.Path(path_type=Path), metavar="CKPT",
    help="A checkpoint that is a member. Repeatable; --from-models A B C lists several.",
)  # fmt: skip
@click.option("--data", required=True, metavar="PATH", help="The version to look at: a folder, or a name below --out.")
@click.option("--split", "splits", multiple=True, help="A split to look at. Repeatable.  [default: train]")
@click.option(
    "--weighting", type=click.Choice(_WEIGHTINGS), default="instance", show_default=True,
    help="What the entropy is averaged over: the paper's predicted instances, or a control.",
)  # fmt: skip
@click.option(
    "--side", type=click.IntRange(0), default=0, help="Stretch images to this side first, pixels (paper: 768)."
)
@click.option("--mc-dropout", type=click.IntRange(0), default=0, help="Passes of each member with its dropout at work.")
@click.option("--dropout", type=click.FloatRange(0, 1, max_open=True), default=0.0,
              help="With --mc-dropout: drop this share of the features, for nets without dropout.")  # fmt: skip
@click.option(
    "--entropy", is_flag=True, help="Keep the entropy of each pixel too, for pictures. It is as large as an image."
)
@click.option("--components", is_flag=True, help="Keep the numbers of the components too.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of dropout, and of shuffled.")
@click.option("--device", default="auto", show_default=True, help="Where the nets are run: cpu, cuda.")
@out_option
@click.option("--name", help="Name of the new version's folder.  [default: NAME-uncertainty]")
@json_option
def uncertainty_command(
    models: tuple[Path, ...],
    data: str,
    splits: tuple[str, ...],
    weighting: str,
    side: int,
    mc_dropout: int,
    dropout: float,
    entropy: bool,
    components: bool,
    seed: int,
    device: str,
    out: Path,
    name: str | None,
    as_json: bool,
) -> None:
    """Maps of how unsure an ensemble is of each thing that it sees, to train with (uncertainty --weights).

    Members are checkpoints of several nets, or several of one run (snapshots), or one net with --mc-dropout. The
    result is a version that opens with load_dataset: 16-bit maps of the mean entropy of each predicted instance,
    predictions, sums by class. Images are joined to it by sample_id.

    \b
    Example:
      unify uncertainty --from-models runs/a runs/b runs/c --data cibm-union70
      unify train uncertainty --data cibm-union70 --weights out/cibm-union70-uncertainty/1.0.0 -o runs/d
    """
    started = time.monotonic()
    sweep = trainers("uncertainty_sweep")
    from unify.artifact import locate

    artifact = locate(data, out)
    splits = splits or ("train",)
    how = sweep.Looking(weighting, side, mc_dropout, dropout, seed)
    options = [option for option, on in (("component", components), ("entropy", entropy)) if on]
    images = sum(source["splits"].get(s, 0) for source in artifact.manifest.sources.values() for s in splits)
    with progress("uncertainty", images, quiet=as_json) as advance:
        result = sweep.make_maps(
            models, artifact, out, how, splits=splits, options=options, name=name, device=device, advance=advance
        )
    rows = _by_class(result.artifact.table("classes.parquet").to_pylist())
    if as_json:
        json_line({**facts(result), "classes": rows})
        return
    shown = rows if len(rows) <= 2 * _SHOWN else [*rows[:_SHOWN], *rows[-_SHOWN:]]
    cells = [(r["class"], r["pixels"], f"{r['uncertainty']:.3f}", f"{r['weight']:.2f}") for r in shown]
    table(["labelled", "pixels", "U, nats", "weight"], cells)
    if len(shown) < len(rows):
        click.echo(f"(the {_SHOWN} heaviest and the {_SHOWN} lightest of {len(rows)} classes)")
    click.echo(line(result, time.monotonic() - started))


def _by_class(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """What is labelled each class, over all sources and splits, the heaviest first."""
    sums: dict[str, list[float]] = {}
    for row in rows:
        pixels = row["labelled_pixels"]
        if isinstance(pixels, int) and pixels:
            found = sums.setdefault(str(row["class"]), [0, 0.0, 0.0])
            values = (1.0, row["labelled_uncertainty"], row["labelled_weight"])
            for i, value in enumerate(values):
                assert isinstance(value, float), "there is one where there are pixels"
                found[i] += pixels * value
    means = [
        {"class": name, "pixels": round(n), "uncertainty": nats / n, "weight": weight / n}
        for name, (n, nats, weight) in sums.items()
    ]
    return sorted(means, key=lambda row: -row["weight"])  # type: ignore[operator]


@view.command("uncertainty", short_help="The images an ensemble is least sure of.")
@click.argument("path")
@click.option("--data", required=True, metavar="PATH", help="The version that was looked at.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), default=Path("uncertainty.png"),
    show_default=True, help="PNG or JPEG file to write.",
)  # fmt: skip
@click.option("--pictures", type=click.IntRange(1), default=4, show_default=True, help="How many images.")
@click.option("--root", default="out", show_default=True, help="Where versions given by name lie.")
def view_uncertainty_command(path: str, data: str, output: Path, pictures: int, root: str) -> None:
    """Maps of uncertainty: image, prediction, entropy of pixels (kept with --entropy) and of instances, weight.

    \b
    Example:
      unify view uncertainty cibm-union70-uncertainty --data cibm-union70 -o uncertainty.png
    """
    from unify import storage
    from unify.artifact import locate
    from unify.report.draw import encode
    from unify.report.uncertainty import draw_maps, pick
    from unify.uncertainty_maps import open_maps

    maps = open_maps(path, root)
    artifact = locate(data, root)
    samples = pick(maps, artifact, pictures)
    storage.write_file(output, encode(draw_maps(maps, artifact, samples), output.suffix))
    manifest = maps.artifact.manifest
    click.echo(f"{output}: {len(samples)} images of {manifest.name} {manifest.version}")

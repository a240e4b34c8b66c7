"""`unify demo`: the main job, from raw roots to pictures, on the embedded street world; then learned relations."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from typing import Any

import click

from unify.cli.show import table

_SEEN, _UNSEEN = "C,I,B,M", "K,W,V"
_RATE = 0.003
_SET = ("warmup=50", "scale_max=1", "evaluate_images=4", "workers=1", "threads=1", "cache=1", "label_stride=4")
_LATER = 3  #: the first stage has so many times the steps of the second
_LOOKS = {"kitti": "KITTI", "wilddash": "WildDash", "camvid": "CamVid"}


@click.command("demo", short_help="Run the main commands on generated streets.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("demo"))
@click.option("--images", type=click.IntRange(4), default=12, show_default=True, help="Training images per dataset.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, other streets.")
@click.option(
    "--steps", type=click.IntRange(0), default=840, show_default=True,
    help="Of training; 0 to stop when the dataset is there.",
)  # fmt: skip
@click.pass_context
def demo_command(context: click.Context, folder: Path, images: int, seed: int, steps: int) -> None:
    """Sample, doctor, build, verify, stats, contact sheet: each step printed as the command it is.

    Then, where torch is installed: train a small net, learn from it which classes are also which others, compare
    that with the truth, train on with it, and see how both nets do on streets of other looks. Minutes on two cores,
    and a small net: what it shows is how, not how well.

    \b
    Example:
      unify demo demo
    """
    streets, out = folder / "streets", folder / "out"
    chosen = ["--images", images, "--seed", seed]
    run(context, "sample", streets, "--datasets", f"{_SEEN},{_UNSEEN}" if steps else _SEEN, *chosen)
    run(context, "doctor", "--root", streets)
    run(context, "build", "--datasets", _SEEN, "--root", streets, "--out", out, "--native", "--centroids")
    run(context, "list", out)
    run(context, "verify", "cibm-union70", "--root", out)
    run(context, "stats", "cibm-union70", "--root", out)
    run(context, "view", "sheet", "cibm-union70", "--root", out, "-o", folder / "sheet.png")
    if steps and find_spec("torch") is None:
        click.echo("There is no torch here, so the demo ends with the data: pip install 'unify[train]' for the rest.\n")
    elif steps:
        _relations(context, folder, streets, out, steps, seed)
    click.echo(f"Look at {folder / 'sheet.png'}, then open the dataset:")
    click.echo(f"  python -c 'import datasets; print(datasets.load_dataset(\"{out}/cibm-union70/1.0.0\"))'")


def _relations(context: click.Context, folder: Path, streets: Path, out: Path, steps: int, seed: int) -> None:
    """Null BCE, relations, and both ways to go on."""
    runs, relations = folder / "runs", folder / "relations"
    data = ["--data", "cibm-union70", "--root", out]

    def train(method: str, name: str, count: int, *more: object, rate: float = 1.0) -> None:
        settings = (f"lr={_RATE * rate:g}", f"seed={seed}", *_SET)
        given = [word for setting in settings for word in ("--set", setting)]
        sizes = ["--steps", count, "--batch", 8, "--crop", 160, "--mixture", "class-uniform"]
        run(context, "train", method, *data, "--out", runs / name, *sizes, *more, *given)

    train("null-bce", "null", steps)
    run(context, "relations", "--from-model", runs / "null", *data, "-o", relations)
    found = _answer(context, "relations", "score", relations, "--truth", streets / "truth.json", "--json")
    scores = {"our rule": found["all"], "the paper's rule": found["paper"]["all"]}
    names = {"F1": "f1", "average precision": "average_precision", "precision": "precision", "recall": "recall"}
    rows = [[rule, *(f"{score[name] or 0:.2f}" for name in names.values())] for rule, score in scores.items()]
    table([f"against the truth, {found['all']['true']} relations", *names], rows)
    click.echo(f"\nThe graph: {relations / 'graph.png'}\n")
    begin = ["--begin-with", runs / "null" / "ckpt.safetensors"]
    train("cr-bce", "related", steps // _LATER, *begin, "--relations", relations, rate=1 / 3)
    train("null-bce", "control", steps // _LATER, *begin, rate=1 / 3)
    for letters, space in (("K,W", "cityscapes19"), ("V", "camvid11")):
        build = ["build", "--datasets", letters, "--root", streets, "--out", out, "--space", space, "--split", "train"]
        run(context, *build)
    rows, means = [], []
    for name, about in (("control", "Null BCE"), ("related", "C-R BCE, with these relations")):
        mious: dict[str, float] = {}
        for version in ("kw-cityscapes19", "v-camvid11"):
            words = ["evaluate", runs / name, "--data", version, "--root", out, "--split", "train", "--json"]
            found = _answer(context, *words)
            mious |= {source: facts["miou"] for source, facts in found["sources"].items()}
        rows.append([about, *(f"{100 * mious[source]:.1f}" for source in _LOOKS)])
        means.append(100 * mean(mious[source] for source in _LOOKS))
    click.echo()
    table([f"mIoU, %, after {steps + steps // _LATER} steps", *(f"like {look}" for look in _LOOKS.values())], rows)
    gain = means[1] - means[0]
    right = f"{scores['our rule']['precision'] or 0:.0%}"
    click.echo(f"\n{gain:+.1f} points by relations of which {right} are right after minutes of training.")
    click.echo("Wrong ones cost. What a longer training finds, and what true ones are worth: docs/uniseg.md\n")


def run(context: click.Context, *words: object) -> None:
    """One command, after its line. Ends the demo with its exit code if that is not 0."""
    said = [str(word) for word in words]
    click.secho(f"$ unify {' '.join(said)}", bold=True)
    code = context.find_root().command.main(said, prog_name="unify", standalone_mode=False)
    if code:
        context.exit(code)
    click.echo()


def _answer(context: click.Context, *words: object) -> dict[str, Any]:
    """What a command with --json says; its line is printed, its answer is not."""
    said = [str(word) for word in words]
    click.secho(f"$ unify {' '.join(said)}", bold=True)
    with redirect_stdout(io.StringIO()) as answer:
        code = context.find_root().command.main(said, prog_name="unify", standalone_mode=False)
    if code:
        context.exit(code)
    found: dict[str, Any] = json.loads(answer.getvalue())
    return found

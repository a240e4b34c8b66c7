"""`unify train`: a net from a version, by one of the methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from unify.cli.options import json_option
from unify.cli.show import counted, duration, json_line, progress, table


def trainers(module: str) -> Any:
    """A module of the training side, by name, as `unify` itself never imports torch.

    Raises `UnifyError` (usage) if torch, or the training side, is not installed.
    """
    import importlib

    from unify.errors import error

    try:
        return importlib.import_module(f"trainers.{module}")
    except ImportError as e:
        missing = (e.name or "torch").partition(".")[0]
        fix = "pip install 'unify[train]'"
        if missing == "trainers":
            fix = "install unify again: its package trainers is not there"
        raise error("usage", "", f"this needs {missing}, which cannot be imported ({e})", fix) from e


@click.command("train")
@click.argument("method", metavar="METHOD")
@click.option(
    "--data", "paths", required=True, multiple=True, metavar="PATH",
    help="The version to learn: a folder, or a name below --root. Repeatable.",
)  # fmt: skip
@click.option("--out", "-o", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of the run.")
@click.option("--recipe", metavar="NAME", help="Settings of a paper's experiment, as `unify recipes` lists them.")
@click.option("--model", help="Name of the net.  [default: tiny]")
@click.option("--steps", type=click.IntRange(1), help="Updates of the weights.  [default: 1000]")
@click.option("--epochs", type=click.FloatRange(0, min_open=True), help="The same, in passes over the mixture.")
@click.option("--batch", type=click.IntRange(1), help="Images in a forward pass.  [default: 4]")
@click.option("--crop", type=click.IntRange(8), help="Side of the crops, pixels.  [default: 256]")
@click.option("--mixture", help="What is drawn, as of `unify mix`: a name or a file.  [default: uniseg]")
@click.option("--begin-with", metavar="FILE", help="Weights to begin with, of the same net or of its backbone.")
@click.option(
    "--relations", type=click.Path(path_type=Path, file_okay=False), help="A folder of `unify relations` (cr-bce)."
)
@click.option("--weights", metavar="PATH", help="Maps of `unify uncertainty`, by folder or name (uncertainty).")
@click.option("--set", "given", multiple=True, metavar="KEY=VALUE", help="Any other setting. Repeatable.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out, if there is one.")
@click.option(
    "--repeat", "count", type=click.IntRange(1), help="Train so many times, and sum up how the scores spread."
)
@click.option(
    "--same-seed/--random-seed", default=False, show_default=True,
    help="Of --repeat: one seed each time, or the seed, the seed + 1, ...",
)  # fmt: skip
@click.option(
    "--sweep", "swept", metavar="KEY=FIRST:LAST:STEP",
    help="Train with each of these values of a setting (or KEY=A,B,C): table.json and table.png.",
)  # fmt: skip
@click.option("--root", default="out", show_default=True, help="Where versions given by name lie.")
@json_option
def train_command(
    method: str,
    paths: tuple[str, ...],
    out: Path,
    recipe: str | None,
    model: str | None,
    steps: int | None,
    epochs: float | None,
    batch: int | None,
    crop: int | None,
    mixture: str | None,
    begin_with: str | None,
    relations: Path | None,
    weights: str | None,
    given: tuple[str, ...],
    resume: bool,
    count: int | None,
    same_seed: bool,
    swept: str | None,
    root: str,
    as_json: bool,
) -> None:
    """Train a net on a version. METHOD is one of ce, bce, null-bce, cr-bce (with --relations), nll-plus, dropclass,
    cpp, seethrough, uncertainty (with --weights, or an ensemble: --model a+b+c).

    The folder of the run holds ckpt.pt, ckpt.safetensors, ckpt.json, log.csv (a line a step), metrics.json and
    curves.png. A run that was killed goes on with --resume and the same options, and ends with the same weights.

    With --repeat and --sweep each run has a folder in --out; the same command again does what is left. On a CPU, runs
    of one seed end with the same weights; on a GPU, with --set deterministic=true they should, more slowly.

    Several processes train one net: torchrun --nproc-per-node 4 -m unify train ...; --batch is that of each.

    With --recipe an update has the recipe's images, however many processes torchrun starts: the parts of an update are
    set by that, unless --set accumulate says otherwise. All other options and settings take the place of the recipe's.

    Settings for --set: optimizer (sgd, adam, adamw), lr, backbone_lr (a factor), power, warmup, min_lr, momentum,
    weight_decay, decay_all, clip (of the gradient's length), auxiliary, accumulate, precision (float32, bf16, float16),
    channels_last, crop_width, scale_min, scale_max, short_side, stretch, flip, rotation, photometric, blur, seed,
    workers, save_every, evaluate_every, evaluate_images, evaluate_split, holdout, keep_best, device, deterministic,
    threads, pretrained, bn_momentum, sync_bn, classifier, output_stride, tensorboard, cache (GiB for decoded images);
    and those of the method, such as label_stride: an unknown one lists them.

    \b
    Example:
      unify train null-bce --data cibm-union70 --out runs/null --steps 2000 --set lr=0.002
      unify train cr-bce --data cibm-union70 --relations out/relations --out runs/cr --epochs 20
      unify train cpp --recipe cpp-cityscapes-pspnet --data c-cityscapes19 --out runs/cpp --sweep aux_weight=0.1:1:0.1
    """
    if steps is not None and epochs is not None:
        raise click.UsageError("Give --steps or --epochs, not both.")
    loop = trainers("loop")
    from unify.artifact import locate

    settings_of = trainers("settings").settings_of
    trainers("methods").method_named(method)
    named = {"model": model, "batch": batch, "crop": crop, "mixture": mixture, "begin_with": begin_with}
    values: dict[str, Any] = {**dict(map(_setting, given)), **{k: v for k, v in named.items() if v is not None}}
    if recipe is not None:
        chosen = trainers("recipes").recipe_named(recipe)
        rules = trainers("recipes.recipe")
        rules.refuse_others(chosen, method, values)
        values = rules.values_of(chosen, values, trainers("distributed").world_size())
        if steps is None and epochs is None and "steps" not in values:
            steps, epochs = chosen.steps or None, chosen.epochs or None
    if steps is not None:
        values["steps"] = steps
    settings = settings_of(method, values)
    artifacts = [locate(path, root) for path in paths]
    if epochs is not None:
        values["steps"] = trainers("bound").steps_of(artifacts, settings, epochs)
        settings = settings_of(method, values)
    maps = None if weights is None else locate(weights, root).path
    name, swept_values = (None, [""]) if swept is None else trainers("repeat").parse_sweep(swept)
    leads = trainers("distributed").leads()
    total = settings.steps * len(swept_values) * (count or 1)
    with progress("train", total, "steps", quiet=as_json or not leads) as advance:

        def train(folder: Path, settings: Any, resume: bool = True) -> dict[str, Any]:
            found: dict[str, Any] = loop.train(
                artifacts, folder, settings, relations=relations, weights=maps, resume=resume, advance=advance
            )
            return found

        if name is not None:
            found = trainers("repeat").sweep(
                train, out, lambda key, text: settings_of(method, {**values, key: text}), name, swept_values,
                count=count or 0, same_seed=same_seed,
            )  # fmt: skip
        elif count is not None:
            found = trainers("repeat").repeat(train, out, settings, count, same_seed=same_seed)
        else:
            found = train(out, settings, resume)
    if not leads:
        return
    if as_json:
        json_line({"path": str(out), **found})
    elif name is not None:
        _show_sweep(found, out)
    elif count is not None:
        _show_repeats(found, out)
    else:
        _show_run(found, out)


def _show_run(metrics: dict[str, Any], out: Path) -> None:
    miou = "" if metrics["miou"] is None else f", mIoU {metrics['miou']:.3f} on {metrics['split']}"
    loss = "" if metrics["loss"] is None else f", loss {metrics['loss']:.4f}"
    did = f"{counted(metrics['step'], 'step')} of {metrics['method']} in {duration(metrics['seconds'])}"
    click.echo(f"{out}: {did}{loss}{miou}")


_SPREAD = ["min", "max", "average", "var.", "std."]  #: as Table 2 of the CPP paper's supplement prints it, in percent


def _show_repeats(found: dict[str, Any], out: Path) -> None:
    repeats = trainers("repeat")
    rows = [[run["path"], run["seed"], f"{100 * run['miou']:.2f}", run["weights"][:12]] for run in found["runs"]]
    table(["run", "seed", "mIoU, %", "weights"], rows)
    click.echo()
    seeds = "same seed" if found["same_seed"] else "random seeds"
    table([f"mIoU, %, {seeds}", *_SPREAD], [["", *repeats.printed(repeats.Spread(**found["miou"]))]])
    if found["same_seed"] and len(found["runs"]) > 1:
        same = found["results"] == 1
        click.echo("all ended with the same bits" if same else f"{found['results']} different results of one seed")
    click.echo(f"{out / repeats.SUMMARY}")


def _show_sweep(found: dict[str, Any], out: Path) -> None:
    repeats = trainers("repeat")
    rows = [[row["value"], row["miou"]["n"], *repeats.printed(repeats.Spread(**row["miou"]))] for row in found["rows"]]
    table([found["setting"], "runs", *_SPREAD], rows)
    best = max(found["rows"], key=lambda row: row["miou"]["mean"])
    click.echo(f"best mIoU at {found['setting']}={best['value']}; {out / repeats.TABLE}, {out / repeats.PICTURE}")


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise click.UsageError(f"--set: '{text}' is not KEY=VALUE.")
    return key, value

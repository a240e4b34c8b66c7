"""`unify train`: a net from a version, by one of the methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from unify.cli.options import json_option
from unify.cli.show import counted, duration, json_line, progress

_METHODS = ("ce", "bce", "null-bce", "cr-bce", "nll-plus")  # trainers.methods.METHODS, which needs torch


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
@click.argument("method", metavar="METHOD", type=click.Choice(_METHODS))
@click.option(
    "--data", "paths", required=True, multiple=True, metavar="PATH",
    help="The version to learn: a folder, or a name below --root. Repeatable.",
)  # fmt: skip
@click.option("--out", "-o", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of the run.")
@click.option("--model", default="tiny", show_default=True, help="Name of the net.")
@click.option("--steps", type=click.IntRange(1), help="Updates of the weights.  [default: 1000]")
@click.option("--epochs", type=click.FloatRange(0, min_open=True), help="The same, in passes over the mixture.")
@click.option("--batch", type=click.IntRange(1), help="Images in a forward pass.  [default: 4]")
@click.option("--crop", type=click.IntRange(8), help="Side of the crops, pixels.  [default: 256]")
@click.option("--mixture", help="What is drawn, as of `unify mix`: a name or a file.  [default: uniseg]")
@click.option(
    "--relations", type=click.Path(path_type=Path, file_okay=False), help="A folder of `unify relations` (cr-bce)."
)
@click.option("--set", "given", multiple=True, metavar="KEY=VALUE", help="Any other setting. Repeatable.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out, if there is one.")
@click.option("--root", default="out", show_default=True, help="Where versions given by name lie.")
@json_option
def train_command(
    method: str,
    paths: tuple[str, ...],
    out: Path,
    model: str,
    steps: int | None,
    epochs: float | None,
    batch: int | None,
    crop: int | None,
    mixture: str | None,
    relations: Path | None,
    given: tuple[str, ...],
    resume: bool,
    root: str,
    as_json: bool,
) -> None:
    """Train a net on a version: ce, bce, null-bce, cr-bce (with --relations) or nll-plus.

    The folder of the run holds ckpt.pt, ckpt.safetensors, ckpt.json, log.csv (a line a step), metrics.json and
    curves.png. A run that was killed goes on with --resume and the same options, and ends with the same weights.

    Settings for --set: optimizer (sgd, adam, adamw), lr, backbone_lr (a factor), power, warmup, momentum,
    weight_decay, auxiliary, accumulate, precision (float32, bf16), scale_min, scale_max, short_side, flip, rotation,
    photometric, blur, seed, workers, save_every, evaluate_every, evaluate_images, evaluate_split, device,
    deterministic, threads, pretrained.

    \b
    Example:
      unify train null-bce --data cibm-union70 --out runs/null --steps 2000 --set lr=0.002
      unify train cr-bce --data cibm-union70 --relations out/relations --out runs/cr --epochs 20
    """
    if steps is not None and epochs is not None:
        raise click.UsageError("Give --steps or --epochs, not both.")
    loop = trainers("loop")
    from unify.artifact import locate

    settings_of = trainers("settings").settings_of
    named = {"model": model, "steps": steps, "batch": batch, "crop": crop, "mixture": mixture}
    values = {**dict(map(_setting, given)), **{k: v for k, v in named.items() if v is not None}}
    settings = settings_of(method, values)
    artifacts = [locate(path, root) for path in paths]
    if epochs is not None:
        settings = settings_of(method, {**values, "steps": trainers("bound").steps_of(artifacts, settings, epochs)})
    with progress("train", settings.steps, "steps", quiet=as_json) as advance:
        metrics = loop.train(artifacts, out, settings, relations=relations, resume=resume, advance=advance)
    if as_json:
        json_line({"path": str(out), **metrics})
        return
    miou = "" if metrics["miou"] is None else f", mIoU {metrics['miou']:.3f} on {metrics['split']}"
    loss = "" if metrics["loss"] is None else f", loss {metrics['loss']:.4f}"
    click.echo(f"{out}: {counted(metrics['step'], 'step')} of {method} in {duration(metrics['seconds'])}{loss}{miou}")


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise click.UsageError(f"--set: '{text}' is not KEY=VALUE.")
    return key, value

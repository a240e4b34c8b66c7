"""What DropClass costs in training: time and memory of an update, over those of cross-entropy alone.

    python -m benchmarks.dropclass [--model tiny] [--batch 4] [--crop 256] [--width 0] [--classes 19] [--rounds 9]

A forward and backward pass on the CPU, with a linear classifier, a class dropped in every update, float32. "ce" is
the baseline, a net without DropClass's layer. DropClass computes its answers and losses in tiles
(`trainers.ops.dropclass_both`, `dropclass_loss`), which is faster than what `ce` does; "ce in tiles" is the baseline
with its loss in tiles too, for how much is the method's own.
Rounds alternate; the time is the processor's, which other programs disturb less, and the figures are medians of
ratios to ce's of the same round. Results of each model are added to results/dropclass.json.

Memory is what torch's profiler saw allocated at once above what there was at the start. "flops" is a forward pass's
products (convolutions and matrices) over the baseline's, without the enlarging: what DropClass has to compute anew is
its layer, a 1x1 convolution as wide as the features, and the classifier once more. A backward pass has twice as many,
in both. It bounds from below what time the method can do with where the net's time is that of its products.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from trainers import models
from trainers.data import Batch, normalized
from trainers.methods import METHODS, Step, Teaching
from trainers.methods.dropclass import Options, weights
from trainers.ops.dropclass import class_weights
from trainers.ops.dropclass_loss import loss_without
from trainers.settings import Settings

RESULTS = Path(__file__).parent / "results" / "dropclass.json"


def step_of(args: argparse.Namespace) -> Step:
    """A batch of noise, labels in patches with 5 % void, in the middle of a run."""
    rng = np.random.default_rng(0)
    width = args.width or args.crop
    cells = rng.integers(0, args.classes, (args.batch, args.crop // 16, width // 16)).astype(np.uint8)
    label = cells.repeat(16, 1).repeat(16, 2)
    label[rng.random(label.shape) < 0.05] = 255
    label_bhw = torch.from_numpy(label)
    image = torch.from_numpy(rng.integers(0, 256, (args.batch, 3, args.crop, width), dtype=np.uint8))
    allowed = torch.ones(args.batch, args.classes, dtype=torch.bool)
    none = torch.zeros(args.batch, dtype=torch.int64)
    settings = Settings("dropclass", steps=100, own=Options(drop_from=1.0))
    return Step(Batch(image, label_bhw, allowed, none, none), label_bhw, Teaching(), (label_bhw != 255).sum(),
                settings, 50)  # fmt: skip


def nets(args: argparse.Namespace) -> tuple[models.Segmenter, models.Segmenter]:
    """The baseline's and DropClass's."""

    def build(path: str | None) -> models.Segmenter:
        torch.manual_seed(0)
        return models.build(args.model, args.classes, classifier="linear", path=path).train()

    return build(None), build("dropclass")


def ways(base: models.Segmenter, drop: models.Segmenter, step: Step) -> dict[str, Callable[[], None]]:
    """Name -> an update without the optimizer's part."""

    steps = {"dropclass": step, "ce": replace(step, settings=Settings("ce"))}

    def update(net: models.Segmenter, method: str) -> None:
        net.zero_grad(set_to_none=True)
        METHODS[method].loss(net, None, steps[method]).backward()  # type: ignore[no-untyped-call]

    def in_tiles() -> None:
        base.zero_grad(set_to_none=True)
        features, _ = base._features(normalized(step.batch.image_bchw))
        a, b = weights(step.labels_bhw, step.normalizer, None, 1.0, 0.0)
        loss_without(base.classifier(features), step.labels_bhw, None, a, b).backward()  # type: ignore[no-untyped-call]

    return {"ce": lambda: update(base, "ce"), "ce in tiles": in_tiles, "dropclass": lambda: update(drop, "dropclass")}


def flops(net: models.Segmenter, step: Step) -> tuple[int, int]:
    """Of a forward pass to the small logits, and of DropClass's second pass alone."""
    with torch.no_grad(), FlopCounterMode(display=False) as first:
        features, _ = net._features(normalized(step.batch.image_bchw))
        net.classifier(features)
    with torch.no_grad(), FlopCounterMode(display=False) as second:
        net.classifier(net.path(features, class_weights(net.classifier).detach(), 0))  # type: ignore[misc]
    return first.get_total_flops(), second.get_total_flops()


def peak_bytes(update: Callable[[], None]) -> int:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        update()
    changes = sorted((e.start_ns(), e.nbytes()) for e in profiler.profiler.kineto_results.events()
                     if e.name() == "[memory]")  # fmt: skip
    now = peak = 0
    for _, change in changes:
        now += change
        peak = max(peak, now)
    return peak


def over(name: str, times: list[float], base: list[float]) -> dict[str, float]:
    """The median of the rounds' ratios, and the quartiles on both sides of it."""
    low, middle, high = statistics.quantiles((t / b for t, b in zip(times, base, strict=True)), method="inclusive")
    return {f"time_over_{name}{of}": round(x, 3) for of, x in (("", middle), ("_low", low), ("_high", high))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    for name, value in (("batch", 4), ("crop", 256), ("width", 0), ("classes", 19), ("rounds", 9), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    (base, drop), step = nets(args), step_of(args)
    first, second = flops(drop, step)
    chosen = ways(base, drop, step)
    memory = {name: (update(), peak_bytes(update))[1] for name, update in chosen.items()}  # type: ignore[func-returns-value]
    seconds: dict[str, list[float]] = {name: [] for name in chosen}
    for _ in range(args.rounds):
        for name, update in chosen.items():
            start = time.process_time()
            update()
            seconds[name].append(time.process_time() - start)
    found: dict[str, dict[str, float]] = {
        name: {
            "ms": round(1e3 * statistics.median(times), 1),
            **over("ce", times, seconds["ce"]),
            **over("tiles", times, seconds["ce in tiles"]),
            "peak_mb": round(memory[name] / 1e6, 1),
            "memory_over_ce": round(memory[name] / memory["ce"], 3),
            "memory_over_tiles": round(memory[name] / memory["ce in tiles"], 3),
        }
        for name, times in seconds.items()
    }
    options = " ".join(f"--{name} {value}" for name, value in vars(args).items())
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    results[args.model] = {"command": f"python -m benchmarks.dropclass {options}", "torch": torch.__version__,
                           "flops_over_ce": round(1 + second / first, 4), **found}  # fmt: skip
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(f"{args.model}, flops over ce: {1 + second / first:.3f}")
    for name, facts in found.items():
        print(f"{args.model}, {name}: {facts}")


if __name__ == "__main__":
    main()

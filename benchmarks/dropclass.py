"""What DropClass costs in training: time and memory of an update, over those of cross-entropy alone.

    python -m benchmarks.dropclass [--model tiny] [--batch 4] [--crop 256] [--classes 19] [--rounds 9] [--threads 1]

A forward and backward pass on the CPU, with a linear classifier, a class dropped in every update, float32. "ce" is
the baseline, a net without DropClass's layer; "both at once" is DropClass where both sets of full-size logits wait
for the backward pass (no `trainers.ops.now`). Rounds alternate; the figures are medians of ratios to ce's of the same
round. Results of each model are added to results/dropclass.json.

Memory is what torch's profiler saw allocated at once above what there was at the start. Half of an update's time on
a CPU goes to the logits at the images' size, of which there are two sets here; the larger the net, the less that is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from trainers import models
from trainers.data import Batch
from trainers.methods import METHODS, Step, Teaching
from trainers.methods.dropclass import Options
from trainers.settings import Settings

RESULTS = Path(__file__).parent / "results" / "dropclass.json"


def step_of(args: argparse.Namespace) -> Step:
    """A batch of noise, labels in patches with 5 % void, in the middle of a run."""
    rng = np.random.default_rng(0)
    cells = rng.integers(0, args.classes, (args.batch, args.crop // 16, args.crop // 16)).astype(np.uint8)
    label = cells.repeat(16, 1).repeat(16, 2)
    label[rng.random(label.shape) < 0.05] = 255
    label_bhw = torch.from_numpy(label)
    image = torch.from_numpy(rng.integers(0, 256, (args.batch, 3, args.crop, args.crop), dtype=np.uint8))
    allowed = torch.ones(args.batch, args.classes, dtype=torch.bool)
    none = torch.zeros(args.batch, dtype=torch.int64)
    settings = Settings("dropclass", steps=100, own=Options(drop_from=1.0))
    return Step(Batch(image, label_bhw, allowed, none, none), label_bhw, Teaching(), (label_bhw != 255).sum(),
                settings, 50)  # fmt: skip


def ways(args: argparse.Namespace, step: Step) -> dict[str, Callable[[], None]]:
    """Name -> an update without the optimizer's part."""

    def build(path: str | None) -> models.Segmenter:
        torch.manual_seed(0)
        return models.build(args.model, args.classes, classifier="linear", path=path).train()

    base, drop = build(None), build("dropclass")

    def update(net: models.Segmenter, method: str) -> None:
        net.zero_grad(set_to_none=True)
        METHODS[method].loss(net, None, step).backward()  # type: ignore[no-untyped-call]

    def at_once() -> None:
        with mock.patch("trainers.methods.dropclass.gradient_now", lambda loss, x: loss(x)):
            update(drop, "dropclass")

    return {
        "ce": lambda: update(base, "ce"),
        "dropclass": lambda: update(drop, "dropclass"),
        "both at once": at_once,
    }


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    for name, value in (("batch", 4), ("crop", 256), ("classes", 19), ("rounds", 9), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    chosen = ways(args, step_of(args))
    memory = {name: (update(), update(), peak_bytes(update))[2] for name, update in chosen.items()}  # type: ignore[func-returns-value]
    seconds: dict[str, list[float]] = {name: [] for name in chosen}
    for _ in range(args.rounds):
        for name, update in chosen.items():
            start = time.perf_counter()
            update()
            seconds[name].append(time.perf_counter() - start)
    found = {
        name: {
            "ms": round(1e3 * statistics.median(times), 1),
            "time_over_ce": round(statistics.median(t / base for t, base in zip(times, seconds["ce"], strict=True)), 3),
            "peak_mb": round(memory[name] / 1e6, 1),
            "memory_over_ce": round(memory[name] / memory["ce"], 3),
        }
        for name, times in seconds.items()
    }
    options = " ".join(f"--{name} {value}" for name, value in vars(args).items())
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    results[args.model] = {"command": f"python -m benchmarks.dropclass {options}", "torch": torch.__version__, **found}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    for name, facts in found.items():
        print(f"{args.model}, {name}: {facts}")


if __name__ == "__main__":
    main()

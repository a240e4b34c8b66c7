"""The losses of `trainers.ops.bce` against the equations written with tensors: time and peak memory.

    python -m benchmarks.losses [--rounds 5] [--threads 1]

Forward and backward, on the CPU, with 2x70x512x512 float32 logits: the 70 classes of union70, an image of a source
that annotates 19 of them and one of a source with 65, labels in patches with 5 % void, 23 relations as the authors of
UniSeg found. "equations" is `trainers.ops.bce_reference` (one-hot targets, a mask). "index form" sums softplus over
the chosen channels and gathers the logit at the label, all left to autograd. Results are compared in a first round,
which is not counted; rounds alternate, medians are compared.

Memory is what torch's profiler saw allocated at once above what there was at the start, in tensors of the size of
the logits; the gradient is one of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.ops import bce_reference
from trainers.ops.bce import bce, class_relational_bce, null_bce

RESULTS = Path(__file__).parent / "results" / "losses.json"
SHAPE = (2, 70, 512, 512)
ANNOTATED = (19, 65)
RELATIONS = 23
PATCH, VOID_SHARE = 32, 0.05

Loss = Callable[[Tensor], Tensor]


def inputs() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits, uint8 labels, what each source annotates, relations."""
    rng = torch.Generator().manual_seed(0)
    batch, classes, height, width = SHAPE
    logits = torch.randn(SHAPE, generator=rng) * 3 - 3
    allowed = torch.zeros(batch, classes, dtype=torch.bool)
    for row, count in zip(allowed, ANNOTATED, strict=True):
        row[torch.randperm(classes, generator=rng)[:count]] = True
    patches = torch.multinomial(allowed.double(), height * width // PATCH**2, replacement=True, generator=rng)
    patches = patches.view(batch, height // PATCH, width // PATCH)
    labels = patches.repeat_interleave(PATCH, 1).repeat_interleave(PATCH, 2).to(torch.uint8)
    labels[torch.rand(labels.shape, generator=rng) < VOID_SHARE] = 255
    relations = torch.zeros(classes, classes, dtype=torch.bool)
    fine, coarse = torch.randperm(classes, generator=rng)[:RELATIONS], torch.randperm(classes, generator=rng)[:8]
    relations[fine, coarse[torch.randint(8, (RELATIONS,), generator=rng)]] = True
    return logits, labels, allowed, relations


def index_form(logits: Tensor, labels: Tensor, allowed: Tensor) -> Tensor:
    """Null BCE without one-hot targets, in a few lines."""
    labelled = labels != 255
    at = torch.where(labelled, labels, 0).long()
    own = logits.gather(1, at[:, None])[:, 0]
    rest = torch.stack([F.softplus(x[on]).sum(0) for x, on in zip(logits, allowed, strict=True)])
    return ((rest - own) * labelled).sum() / labelled.sum().clamp(min=1)


def cases(labels: Tensor, allowed: Tensor, relations: Tensor) -> dict[str, dict[str, Loss]]:
    """loss -> way -> function of the logits."""
    everything = torch.ones_like(allowed)
    return {
        "null BCE": {
            "trainers": lambda x: null_bce(x, labels, allowed),
            "equations": lambda x: bce_reference.null_bce(x, labels, allowed),
            "index form": lambda x: index_form(x, labels, allowed),
        },
        "class-relational BCE": {
            "trainers": lambda x: class_relational_bce(x, labels, allowed, relations),
            "equations": lambda x: bce_reference.class_relational_bce(x, labels, allowed, relations),
        },
        "plain BCE": {
            "trainers": lambda x: bce(x, labels),
            "equations": lambda x: bce_reference.bce(x, labels),
            "index form": lambda x: index_form(x, labels, everything),
        },
    }


def step(loss: Loss, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Forward and backward: the loss and its gradient."""
    leaf = logits.detach().requires_grad_()
    value = loss(leaf)
    torch.autograd.backward(value)
    assert leaf.grad is not None
    return value.detach(), leaf.grad


def check(ways: dict[str, Loss], logits: Tensor) -> dict[str, float]:
    """Greatest relative differences from the equations: of the loss, and of the gradient by its greatest entry."""
    expected, gradient = step(ways["equations"], logits)
    worst = {"loss": 0.0, "gradient": 0.0}
    for loss in ways.values():
        value, other = step(loss, logits)
        worst["loss"] = max(worst["loss"], float(abs(value - expected) / expected))
        worst["gradient"] = max(worst["gradient"], float((other - gradient).abs().max() / gradient.abs().max()))
    assert max(worst.values()) < 1e-6, worst
    return worst


def peak_memory(loss: Loss, logits: Tensor) -> tuple[float, int]:
    """Bytes allocated at once, and how many allocations were at least half as large as the logits; both in logits."""
    one = logits.numel() * logits.element_size()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        step(loss, logits)
    results = profiler.profiler.kineto_results
    changes = sorted((e.start_ns(), e.nbytes()) for e in results.events() if e.name() == "[memory]")
    assert any(change >= one for _, change in changes), "the gradient at least is as large"
    now = peak = 0
    for _, change in changes:
        now += change
        peak = max(peak, now)
    return peak / one, sum(change >= one / 2 for _, change in changes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    logits, labels, allowed, relations = inputs()
    results: dict[str, object] = {
        "command": f"python -m benchmarks.losses --rounds {args.rounds} --threads {args.threads}",
        "torch": torch.__version__,
        "logits": list(SHAPE),
    }
    for name, ways in cases(labels, allowed, relations).items():
        difference = check(ways, logits)
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(args.rounds):
            for way, loss in ways.items():
                start = time.perf_counter()
                step(loss, logits)
                times[way].append(time.perf_counter() - start)
        medians = {way: statistics.median(seconds) for way, seconds in times.items()}
        memory = {way: peak_memory(loss, logits) for way, loss in ways.items()}
        found = {
            way: {
                "ms": [round(s * 1e3, 1) for s in times[way]],
                "median_ms": round(medians[way] * 1e3, 1),
                "times_as_long": round(medians[way] / medians["trainers"], 2),
                "peak_memory_in_logits": round(memory[way][0], 2),
                "large_allocations": memory[way][1],
            }
            for way in ways
        }
        results[name] = {"relative_difference": difference, **found}
        for way, facts in found.items():
            print(
                f"{name}, {way}: {facts['median_ms']} ms, {facts['times_as_long']}×, "
                f"peak {facts['peak_memory_in_logits']}, large allocations {facts['large_allocations']}"
            )
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

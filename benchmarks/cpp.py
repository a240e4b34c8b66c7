"""CPP pooling: the operator against one-hot and average pooling and against bincount, and what it adds to a step.

    python -m benchmarks.cpp [--rounds 9] [--threads 1]

Labels 4x512x1024, 70 classes, cells of 8x8, on the CPU: a generated street (Mapillary's classes in union70), blocks of
32x32 of random classes, the street with one pixel in a hundred of a random class, and noise. Ways:

    trainers        trainers.ops.cpp.cpp_pool
    bincount        torch.bincount of class and cell; the cells' numbers are made once, before
    numpy bincount  the same in numpy
    scatter         trainers.ops.cpp.by_scatter, what runs on a GPU
    one-hot         trainers.ops.cpp_reference, F.one_hot and F.avg_pool2d

Results are compared bit for bit in a first round, which is not counted; rounds alternate, medians are compared. With
one thread the time is that of the processor, which others on the machine hardly lengthen; else that of the clock.
"write" is torch.zeros of the result's size alone. Then all four scales of HRNet's heads, 4, 8, 16 and 32: one pass
against four, and against one-hot. Then a training step of the tiny net with method `cpp` (batch 4 of 256x256, 19 and 70
classes): what share of it makes the targets of its three heads, at 1/2, 1/4 and 1/8; and what share of that step the
targets of four heads at 1/4 to 1/32 would take. Steps with aux=nearest and aux=none stand beside it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainers.data import Batch
from trainers.methods import METHODS, Step, Teaching
from trainers.models import build
from trainers.ops import cpp_reference
from trainers.ops.cpp import by_scatter, cpp_pool, cpp_pyramid
from trainers.settings import settings_of
from unify.codecs import read_label
from unify.sample import write_streets
from unify.taxonomy import taxonomy_for

RESULTS = Path(__file__).parent / "results" / "cpp.json"
BATCH, HEIGHT, WIDTH, CLASSES, SCALE = 4, 512, 1024, 70, 8
HRNET = (4, 8, 16, 32)
GOALS = {"one-hot": 200.0, "bincount": 3.0, "numpy bincount": 3.0, "targets of four heads, % of a step": 2.0}


# --- Labels -------------------------------------------------------------------------------------------------


def labels(scratch: Path) -> dict[str, Tensor]:
    rng = np.random.default_rng(0)
    write_streets(scratch / "streets", ["M"], images=BATCH, seed=0)
    table = taxonomy_for({"mapillary": "mapillary-v1.2"}, {"mapillary": "mapillary-v1.2"}, "union70").table("mapillary")
    found = []
    for path in sorted((scratch / "streets").rglob("training/**/labels/*.png"))[:BATCH]:
        label_hw = table[read_label(path.read_bytes())]
        tiled_hw = np.tile(label_hw, (-(-HEIGHT // label_hw.shape[0]), -(-WIDTH // label_hw.shape[1])))
        found.append(np.where(tiled_hw < CLASSES, tiled_hw, 255)[:HEIGHT, :WIDTH])
    street = np.stack(found).astype(np.uint8)
    assert street.shape == (BATCH, HEIGHT, WIDTH)
    noise = rng.integers(0, CLASSES, street.shape, np.uint8)
    blocks = np.kron(noise[:, : HEIGHT // 32, : WIDTH // 32], np.ones((1, 32, 32), np.uint8))
    specks = np.where(rng.random(street.shape) < 0.01, noise, street)
    maps = {"street": street, "blocks": blocks, "street with specks": specks, "noise": noise}
    return {name: torch.from_numpy(np.ascontiguousarray(label_bhw)) for name, label_bhw in maps.items()}


# --- The operator -------------------------------------------------------------------------------------------


def ways(labels_bhw: Tensor, scale: int) -> dict[str, Callable[[], Tensor]]:
    down, across = HEIGHT // scale, WIDTH // scale
    size = BATCH * (CLASSES + 1) * down * across
    row = torch.arange(HEIGHT).view(1, -1, 1) // scale
    cell = (torch.arange(BATCH).view(-1, 1, 1) * (CLASSES + 1) * down + row) * across + torch.arange(WIDTH) // scale
    cell_numpy = cell.numpy().astype(np.int32)
    plane = down * across
    lookup = torch.where(torch.arange(256) == 255, CLASSES, torch.arange(256)).mul_(plane)
    lookup_numpy = lookup.numpy().astype(np.int32)
    labels_numpy = labels_bhw.numpy()

    def bincount() -> Tensor:
        counts = torch.bincount((cell + lookup[labels_bhw.int()]).view(-1), minlength=size)
        return counts.view(BATCH, CLASSES + 1, down, across)[:, :CLASSES].float().div_(scale * scale)

    def numpy_bincount() -> Tensor:
        counts = np.bincount((cell_numpy + lookup_numpy[labels_numpy]).ravel(), minlength=size)
        shares = counts.reshape(BATCH, CLASSES + 1, down, across)[:, :CLASSES].astype(np.float32)
        return torch.from_numpy(np.divide(shares, scale * scale, out=shares))

    return {
        "trainers": lambda: cpp_pool(labels_bhw, CLASSES, scale),
        "bincount": bincount,
        "numpy bincount": numpy_bincount,
        "scatter": lambda: by_scatter(labels_bhw, CLASSES, scale, 1, 255, False, as_shares=True)[0],
        "one-hot": lambda: cpp_reference.cpp_pool(labels_bhw, CLASSES, scale),
    }


def timed(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each; rounds alternate. `one-hot` is the slowest by far: a third of the rounds."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(rounds):
        for name, call in calls.items():
            if "one-hot" in name and i % 3:
                continue
            start = clock()
            call()
            seconds[name].append(clock() - start)
    return {name: statistics.median(found) for name, found in seconds.items()}


def compare(labels_bhw: Tensor, rounds: int) -> dict[str, object]:
    calls = ways(labels_bhw, SCALE)
    expected = calls["one-hot"]()
    assert all(torch.equal(call(), expected) for call in calls.values())
    write = {"write": lambda: torch.zeros(BATCH, CLASSES, HEIGHT // SCALE, WIDTH // SCALE)}
    return ratios(timed({**calls, **write}, rounds), "trainers")


def compare_pyramids(labels_bhw: Tensor, rounds: int) -> dict[str, object]:
    calls: dict[str, Callable[[], list[Tensor]]] = {
        "one pass": lambda: cpp_pyramid(labels_bhw, CLASSES, HRNET),
        "four passes": lambda: [cpp_pool(labels_bhw, CLASSES, scale) for scale in HRNET],
        "one-hot": lambda: [cpp_reference.cpp_pool(labels_bhw, CLASSES, scale) for scale in HRNET],
        "write": lambda: [torch.zeros(BATCH, CLASSES, HEIGHT // scale, WIDTH // scale) for scale in HRNET],
    }
    expected = calls["one-hot"]()
    for name in ("one pass", "four passes"):
        assert all(torch.equal(one, other) for one, other in zip(calls[name](), expected, strict=True))
    return ratios(timed(calls, rounds), "one pass")


def ratios(seconds: Mapping[str, float], ours: str) -> dict[str, object]:
    return {
        "median_ms": {name: round(1e3 * value, 2) for name, value in seconds.items()},
        "times_as_long": {name: round(value / seconds[ours], 2) for name, value in seconds.items()},
    }


# --- A training step ----------------------------------------------------------------------------------------


def overhead(street_bhw: Tensor, classes: int, rounds: int) -> dict[str, object]:
    """Of a whole update: forward, loss, backward, AdamW."""
    labels_bhw = street_bhw[:, :256, :256].clone()
    labels_bhw[labels_bhw != 255] %= classes
    image = torch.randint(0, 256, (BATCH, 3, *labels_bhw.shape[1:]), dtype=torch.uint8)
    allowed = torch.ones(BATCH, classes, dtype=torch.bool)
    batch = Batch(image, labels_bhw, allowed, torch.zeros(BATCH).long(), torch.arange(BATCH))

    def update(aux: str) -> Callable[[], None]:
        settings = settings_of("cpp", {"steps": 10, "aux": aux})
        torch.manual_seed(0)
        net = build("tiny", classes).train()
        parts = METHODS["cpp"].parts
        assert parts is not None
        heads = parts(net, settings).train()
        step = Step(batch, labels_bhw, Teaching(), (labels_bhw != 255).sum().float(), settings, 0)
        optimizer = torch.optim.AdamW([*net.parameters(), *heads.parameters()], 1e-3)

        def once() -> None:
            optimizer.zero_grad(set_to_none=True)
            METHODS["cpp"].loss(net, heads, step).backward()
            optimizer.step()

        once()
        return once

    steps = {f"step, aux={aux}": update(aux) for aux in ("cpp", "nearest", "none")}
    targets = {
        "targets of its heads": lambda: cpp_pyramid(labels_bhw, classes, (2, 4, 8)),
        "targets of four heads": lambda: cpp_pyramid(labels_bhw, classes, HRNET),
    }
    seconds = timed({**steps, **targets}, rounds)
    whole = seconds["step, aux=cpp"]
    return {
        "median_ms": {name: round(1e3 * value, 2) for name, value in seconds.items()},
        "percent_of_step": {name: round(100 * value / whole, 2) for name, value in seconds.items()},
    }


def tables(results: Mapping[str, Any]) -> str:
    """What docs/cpp.md shows: how many times as long the other ways take, and what a step is made of."""
    ways_there = ("one-hot", "bincount", "numpy bincount", "scatter")
    rows = {name: [found["times_as_long"][way] for way in ways_there] for name, found in results["operator"].items()}
    steps = {name: found["percent_of_step"] for name, found in results["a step of the tiny net"].items()}
    parts = list(next(iter(steps.values())))
    shares = {name: [found[part] for part in parts] for name, found in steps.items()}
    first = _table("times as long as `cpp_pool`", ways_there, rows)
    return "\n\n".join([first, _table("% of a step with aux=cpp", parts, shares)])


def _table(corner: str, heads: Sequence[str], rows: Mapping[str, Sequence[float]]) -> str:
    lines = [f"| {corner} | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    lines += [f"| {name} | {' | '.join(_short(value) for value in values)} |" for name, values in rows.items()]
    return "\n".join(lines)


def _short(value: float) -> str:
    """Two digits that count, at most."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as scratch:
        maps = labels(Path(scratch))
    results: dict[str, object] = {
        "command": f"python -m benchmarks.cpp --rounds {args.rounds} --threads {args.threads}",
        "torch": torch.__version__,
        "labels": [BATCH, HEIGHT, WIDTH],
        "classes": CLASSES,
        "seconds": "of the processor" if args.threads == 1 else "of the clock",
        "goals": GOALS,
        "operator": {name: compare(labels_bhw, args.rounds) for name, labels_bhw in maps.items()},
        "scales 4, 8, 16, 32 of street": compare_pyramids(maps["street"], args.rounds),
        "a step of the tiny net": {
            f"{classes} classes": overhead(maps["street"], classes, args.rounds) for classes in (19, CLASSES)
        },
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()

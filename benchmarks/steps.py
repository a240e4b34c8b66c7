"""What a step of training costs on a CPU with decoded images kept, and with labels of every fourth pixel.

    python -m benchmarks.steps [--rounds 12] [--model tiny]

Null BCE on Streets C+I+B+M in their union (70 classes, images up to 1024 x 768), batches of 8 crops of 192 x 192, one
thread, no workers. Ways take turns, a step each; the first rounds, in which images are decoded for the first time,
are not counted; medians are compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.label_shift import unify
from trainers import loop
from trainers.bound import bind
from trainers.distributed import joined
from trainers.methods import method_named
from trainers.settings import settings_of
from unify.artifact import Artifact, locate

RESULTS = Path(__file__).parent / "results" / "steps.json"
COMMON = {"batch": 8, "crop": 192, "scale_min": 0.5, "scale_max": 1.0, "photometric": 0.3, "mixture": "class-uniform"}
WAYS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "cache": {"cache": 2},
    "cache, label_stride 4": {"cache": 2, "label_stride": 4},
}
IMAGES, UNCOUNTED = 6, 12


def streets(folder: Path) -> Artifact:
    unify("sample", folder / "raw", "--images", IMAGES)
    unify("build", "--datasets", "C,I,B,M", "--root", folder / "raw", "-o", folder / "out", "--name", "streets",
          "--centroids", "--split", "train")  # fmt: skip
    return locate("streets", folder / "out")


def steps_of(data: Artifact, folder: Path, model: str, changes: dict[str, Any], count: int) -> Iterator[int]:
    settings = settings_of("null-bce", {**COMMON, **changes, "model": model, "steps": count})
    method = method_named("null-bce")
    bound = bind([data], settings, method, None)
    with joined(torch.device("cpu")) as group:
        job = loop.Job(settings, method, bound, group, folder)
        yield from loop.steps(loop.begin(job), job)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--model", default="tiny")
    args = parser.parse_args()
    torch.set_num_threads(1)
    count = UNCOUNTED + args.rounds
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = streets(folder)
        running = {way: steps_of(data, folder, args.model, changes, count) for way, changes in WAYS.items()}
        for _ in range(count):
            for way, each in running.items():
                start = time.perf_counter()
                next(each)
                seconds[way].append(time.perf_counter() - start)
    found = {way: statistics.median(times[UNCOUNTED:]) for way, times in seconds.items()}
    first = found["as it is"]
    results = {
        "command": f"python -m benchmarks.steps --model {args.model}",
        "ms_per_step": {way: round(1000 * value, 1) for way, value in found.items()},
        "times_faster": {way: round(first / value, 2) for way, value in found.items()},
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()

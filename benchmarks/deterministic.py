"""What `--set deterministic=true` costs: time of a step of training, with and without.

    python -m benchmarks.deterministic --work /tmp/deterministic [--rounds 5] [--steps 10] [--threads 1]

The net `tiny`, cross-entropy, on generated streets (batches of 2 crops of 192x192), on the CPU. Rounds alternate; the
first is not counted; medians of CPU time are compared. Weights after each round are compared too: on a CPU both ways
give the same bits each time.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import shutil
import statistics
import time
from pathlib import Path

import torch

from trainers import loop
from trainers.settings import Settings, settings_of
from unify.artifact import Artifact, locate
from unify.cli import run

RESULTS = Path(__file__).parent / "results" / "deterministic.json"


def step_time(artifact: Artifact, out: Path, settings: Settings) -> tuple[float, str]:
    """Median CPU seconds between the ends of two steps, and the digest of the weights in the end."""
    ends: list[float] = []
    metrics = loop.train([artifact], out, settings, advance=lambda steps, size: ends.append(time.process_time()))
    return statistics.median(b - a for a, b in itertools.pairwise(ends[1:])), metrics["weights"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    assert run(["build", "--sample", "--datasets", "C", "--out", str(args.work / "out"), "--name", "streets"]) == 0
    artifact = locate("streets", args.work / "out")
    given = {"steps": args.steps, "batch": 2, "crop": 192, "threads": args.threads, "evaluate_split": "none"}
    plain = settings_of("ce", {**given, "device": "cpu"})
    times: dict[bool, list[float]] = {False: [], True: []}
    weights: dict[bool, set[str]] = {False: set(), True: set()}
    for number in range(args.rounds + 1):
        for deterministic in times:
            torch.use_deterministic_algorithms(False)
            out = args.work / "run"
            shutil.rmtree(out, ignore_errors=True)
            seconds, result = step_time(artifact, out, dataclasses.replace(plain, deterministic=deterministic))
            weights[deterministic].add(result)
            if number:
                times[deterministic].append(seconds)
    torch.use_deterministic_algorithms(False)
    medians = {way: statistics.median(found) for way, found in times.items()}
    results = {
        "command": f"python -m benchmarks.deterministic --rounds {args.rounds} --steps {args.steps}"
        f" --threads {args.threads}",
        "torch": torch.__version__,
        "device": "cpu",
        "ratio": round(medians[True] / medians[False], 3),
        "each round": [round(b / a, 3) for a, b in zip(times[False], times[True], strict=True)],
        "different results of one seed": {
            "without": len(weights[False]), "with": len(weights[True]), "both": len(weights[False] | weights[True]),
        },
    }  # fmt: skip
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()

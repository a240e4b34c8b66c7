"""SeeThroughNet at our size: with CPP losses against without them, and its fusion against a plain mean.

    python -m benchmarks.seethrough_evidence --scratch DIR [--camvid DIR] [--streets] [--seeds 3] [--steps 250]

The net is seethrough-tiny, from random weights, with method `seethrough`: it is trained on two sizes of each image and
asked with three. Ways differ in one thing from the first:

    cpp    attention between neighbouring scales, CPP losses of all coarse answers but the finest: the defaults
    none   aux=none: the same net without CPP losses
    mean   seethrough-tiny-mean: half of each of two neighbouring scales, no attention

All else is the same: images, crops, their order, steps, and of `cpp` and `none` the first weights; `mean` has fewer of
them, so that those that are drawn behind differ. Data and scores are those of `benchmarks.cpp_evidence`.

Results are written after each run, and runs that are there already are not done again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.cpp_evidence import camvid, cell, complete_seeds, horizon, scored, streets, summary, table
from trainers import loop
from trainers.settings import settings_of
from unify.artifact import Artifact

RESULTS = Path(__file__).parent / "results" / "seethrough_evidence.json"
WAYS: dict[str, dict[str, str]] = {
    "cpp": {},
    "none": {"aux": "none"},
    "mean": {"model": "seethrough-tiny-mean"},
}
TRAINING: dict[str, int | float | str] = {
    **{"model": "seethrough-tiny", "batch": 4, "crop": 128, "lr": 2e-3, "warmup": 20, "workers": 0, "threads": 1},
    "evaluate_split": "none",
}


def run(artifact: Artifact, way: str, seed: int, steps: int, far: tuple[int, int], folder: Path) -> dict[str, Any]:
    training = {**TRAINING, **WAYS[way], "seed": seed, "steps": steps, "save_every": steps}
    metrics = loop.train([artifact], folder, settings_of("seethrough", training), resume=True)
    found = scored(artifact, folder, far)
    return {"way": way, "seed": seed, "seconds": metrics["seconds"], "loss": metrics["loss"], **found}


def tables(results: Mapping[str, Any]) -> str:
    """What docs/cpp.md shows: a table for each data set, in hundredths, of the seeds that all ways were run with."""
    parts = []
    for facts in results["data"].values():
        seeds = complete_seeds(facts["runs"], list(WAYS))
        if len(seeds) < 2:
            continue
        found = summary([run for run in facts["runs"] if run["seed"] in seeds], list(WAYS))
        parts.append(f"**{facts['title']}**; {len(seeds)} seeds, {facts['images']['val']} images of val.")
        names = [name for name in found["cpp"] if not name.startswith("class ")]
        parts.append(
            table(["IoU, %", *found], [[name, *(cell(way, found[way].get(name)) for way in found)] for name in names])
        )
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scratch", type=Path, required=True, help="for data and runs")
    parser.add_argument("--camvid", type=Path, help="a folder with train/, trainannot/, val/, valannot/")
    parser.add_argument("--streets", action="store_true", help="on generated street scenes too")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = {}
    if args.camvid:
        data["camvid"] = (camvid(args.camvid, args.scratch), "CamVid at 240x180, 11 classes")
    if args.streets:
        data["streets"] = (streets(args.scratch), "Generated street scenes, 384x192, 19 classes")
    if not data:
        parser.error("nothing to do without --camvid or --streets")
    results: dict[str, Any] = {
        "command": "python -m benchmarks.seethrough_evidence --scratch DIR"
        + (" --camvid DIR" if args.camvid else "")
        + (" --streets" if args.streets else "")
        + f" --seeds {args.seeds} --steps {args.steps}",
        "torch": torch.__version__,
        "training": {**TRAINING, "steps": args.steps},
        "data": {},
    }
    before = json.loads(args.results.read_text()) if args.results.exists() else {}
    is_same = before.get("training") == results["training"]
    for name, (artifact, title) in data.items():
        there = before["data"].get(name, {}).get("runs", []) if is_same else []
        images = {split: n for facts in artifact.manifest.sources.values() for split, n in facts["splits"].items()}
        results["data"][name] = {"title": title, "images": images, "far rows": list(horizon(artifact)), "runs": there}
    for name, (artifact, _) in data.items():
        facts = results["data"][name]
        for seed in range(args.seeds):
            for way in WAYS:
                if any((r["seed"], r["way"]) == (seed, way) for r in facts["runs"]):
                    continue
                far = (facts["far rows"][0], facts["far rows"][1])
                folder = args.scratch / "runs" / f"seethrough-{name}-{way}-{seed}-{args.steps}"
                found = run(artifact, way, seed, args.steps, far, folder)
                facts["runs"].append(found)
                args.results.write_text(json.dumps(results, indent=1) + "\n")
                print(name, way, seed, f"{found['seconds']} s, mIoU {found['miou']:.3f}", flush=True)
    args.results.write_text(json.dumps(results, indent=1) + "\n")
    print(tables(results))


if __name__ == "__main__":
    main()

"""CPP pooling against nearest labels against no auxiliary heads, at our size: IoU by class, object size and distance.

    python -m benchmarks.cpp_evidence --scratch DIR [--camvid DIR] [--seeds 4] [--steps 400]

The tiny net, from random weights, with method `cpp`: aux=cpp, aux=nearest (the same three heads with cross-entropy of
the nearest label) and aux=none. All else is the same: first weights, images, crops, their order, steps. Data are
generated street scenes (Cityscapes' 19 classes, 384x192), and, with --camvid, CamVid in SegNet's form scaled down to
240x180 (11 classes; images by area, labels by the nearest pixel); nets are trained on train and scored on val.

Objects are connected regions of one class (8-neighbours), by their pixels. For a bin of sizes the IoU takes the truth's
pixels in regions of that size as what is there, and predicted pixels in predicted regions of that size, if wrong, as
false ones. Far are the rows within a sixteenth of the height of the horizon: the median, over val, of the first row
that is road for at least one pixel in a hundred.

Besides, how many objects of val a nearest label at 1/2 ... 1/32 has nothing of, by size: what CPP pooling is to save.

Results are written after each run, and runs that are there already are not done again. Seeds are outermost.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from trainers import checkpoint, loop
from trainers.data import Samples
from trainers.evaluate import Answered, confusion_of, rows_of
from trainers.settings import settings_of
from unify.artifact import Artifact
from unify.build import build
from unify.cpp import SCALES
from unify.draws.index import build_index
from unify.plan import plan_build
from unify.report.pooled import regions
from unify.roots import resolve_roots
from unify.sample import write_streets
from unify.sources import SOURCES
from unify.taxonomy import taxonomy_for

RESULTS = Path(__file__).parent / "results" / "cpp_evidence.json"
WAYS = ("cpp", "nearest", "none")
EDGES = (16, 64, 256, 1024)  #: of the bins of object sizes, pixels
BINS = ("< 16", "16-63", "64-255", "256-1023", ">= 1024")
THIN = {"pole", "traffic light", "traffic sign", "signsymbol", "fence", "person", "pedestrian", "rider", "bicyclist"}
TRAINING = {"model": "tiny", "batch": 4, "crop": 160, "lr": 2e-3, "warmup": 20, "workers": 0, "threads": 1}
STREETS = {"images": 200, "size": 0.1875, "seed": 0}
CAMVID_SIZE = (240, 180)


# --- Data ---------------------------------------------------------------------------------------------------


def streets(scratch: Path) -> Artifact:
    root = scratch / "streets"
    if not root.exists():
        write_streets(root, ["C"], **STREETS)
    return version(root, "C", scratch / "out")


def camvid(given: Path, scratch: Path) -> Artifact:
    """`given`, a folder with train/, trainannot/, val/, valannot/, scaled down."""
    root = scratch / "camvid"
    for folder in ("train", "trainannot", "val", "valannot"):
        (root / folder).mkdir(parents=True, exist_ok=True)
        how = cv2.INTER_NEAREST if folder.endswith("annot") else cv2.INTER_AREA
        for path in sorted((given / folder).glob("*.png")):
            target = root / folder / path.name
            if not target.exists():
                cv2.imwrite(
                    str(target), cv2.resize(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), CAMVID_SIZE, None, 0, 0, how)
                )
    return version(root, "V", scratch / "out")


def version(root: Path, letter: str, out: Path) -> Artifact:
    found = resolve_roots(letter, [str(root)], environ={})
    releases = {name: SOURCES[name].releases[d.release] for name, d in found.items()}
    space = next(iter(releases.values())).train_space
    taxonomy = taxonomy_for(
        {n: r.space for n, r in releases.items()}, {n: r.train_space for n, r in releases.items()}, space
    )
    return build(plan_build(found, taxonomy, ("train", "val")), out).artifact


# --- Scores -------------------------------------------------------------------------------------------------


class Scores:
    """Pixel counts by class, object size and distance, over the images that `watch` is shown."""

    def __init__(self, num_classes: int, far: tuple[int, int]) -> None:
        self.num_classes = num_classes
        self.far = far
        self.found = np.zeros((len(BINS), 3), np.int64)  # true positives, false negatives, false positives
        self.confusion = {"all": np.zeros((num_classes, num_classes), np.int64)}
        self.confusion["far"] = np.zeros_like(self.confusion["all"])

    def watch(self, answered: Answered) -> None:
        truth_hw, answer_hw = answered.truth_hw, answered.answer_hw
        scored_hw = truth_hw < self.num_classes
        right_hw = scored_hw & (truth_hw == answer_hw)
        truth_bin_hw = sizes(truth_hw, self.num_classes)
        answer_bin_hw = sizes(answer_hw, self.num_classes)
        for i in range(len(BINS)):
            there_hw = scored_hw & (truth_bin_hw == i)
            wrong_hw = scored_hw & (answer_bin_hw == i) & ~right_hw
            self.found[i] += (there_hw & right_hw).sum(), (there_hw & ~right_hw).sum(), wrong_hw.sum()
        far_hw = np.zeros_like(scored_hw)
        far_hw[self.far[0] : self.far[1]] = True
        for name, chosen_hw in (("all", scored_hw), ("far", scored_hw & far_hw)):
            pairs = truth_hw[chosen_hw].astype(np.int64) * self.num_classes + answer_hw[chosen_hw]
            counts = np.bincount(pairs, minlength=self.num_classes**2)
            self.confusion[name] += counts.reshape(self.num_classes, -1)

    def report(self, classes: Sequence[str]) -> dict[str, Any]:
        per_class = {name: iou_of(confusion) for name, confusion in self.confusion.items()}
        thin = [i for i, name in enumerate(classes) if name.lower().replace("_", " ") in THIN]
        means = {name: float(np.nanmean(values)) for name, values in per_class.items()}
        return {
            "miou": means["all"],
            "miou of thin classes": float(np.nanmean(per_class["all"][thin])),
            "miou far": means["far"],
            "iou by size": {
                name: (None if not row.sum() else float(row[0] / row.sum()))
                for name, row in zip(BINS, self.found, strict=True)
            },
            "recall by size": {
                name: (None if not row[:2].sum() else float(row[0] / row[:2].sum()))
                for name, row in zip(BINS, self.found, strict=True)
            },
            "iou": {
                name: (None if np.isnan(value) else float(value))
                for name, value in zip(classes, per_class["all"], strict=True)
            },
        }


def iou_of(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """(K,), NaN for classes that are neither there nor answered."""
    right = np.diagonal(confusion)
    union = confusion.sum(0) + confusion.sum(1) - right
    return np.where(union > 0, right / np.maximum(union, 1), np.nan)


def sizes(ids_hw: NDArray[np.uint8], num_classes: int) -> NDArray[np.int64]:
    """(H, W): for each pixel the bin of the size of the region it is in; -1 for ids from `num_classes` on."""
    bins_hw = np.full(ids_hw.shape, -1, np.int64)
    for k in np.unique(ids_hw[ids_hw < num_classes]):
        mask_hw = ids_hw == k
        _, region_hw, facts, _ = cv2.connectedComponentsWithStats(mask_hw.astype(np.uint8), connectivity=8)
        bins = np.searchsorted(EDGES, facts[:, cv2.CC_STAT_AREA], side="right")
        bins_hw[mask_hw] = bins[region_hw[mask_hw]]
    return bins_hw


def horizon(artifact: Artifact) -> tuple[int, int]:
    """First row, and the first one after, of what is far."""
    road = artifact.taxonomy.space.index("road")
    index = build_index([artifact])
    samples = Samples(index, None)
    first, heights = [], set()
    for row in rows_of(index, "val").tolist():
        label_hw = samples[row].label_hw.numpy()
        heights.add(len(label_hw))
        shown = np.flatnonzero((label_hw == road).mean(1) >= 0.01)
        first += [int(shown[0])] if len(shown) else []
    (height,) = heights
    middle = round(statistics.median(first))
    return max(0, middle - height // 16), middle + height // 16 + 1


def objects_lost(artifact: Artifact) -> dict[str, Any]:
    """Objects of val by size, and the share of them of which a nearest label at 1/2 ... 1/32 has nothing."""
    index = build_index([artifact])
    samples, classes = Samples(index, None), len(index.classes)
    total = np.zeros(len(BINS), np.int64)
    gone = {scale: np.zeros(len(BINS), np.int64) for scale in SCALES}
    for row in rows_of(index, "val").tolist():
        label_hw = samples[row].label_hw.numpy()
        found, index_hw = regions(label_hw, classes)
        pixels = np.bincount(index_hw[index_hw >= 0], minlength=len(found))
        bins = np.searchsorted(EDGES, pixels, side="right")
        total += np.bincount(bins, minlength=len(BINS))
        for scale in SCALES:
            left = np.zeros(len(found), np.bool_)
            left[np.unique(index_hw[::scale, ::scale][index_hw[::scale, ::scale] >= 0])] = True
            gone[scale] += np.bincount(bins[~left], minlength=len(BINS))
    shares = {f"1/{scale}": [round(float(v), 4) for v in lost / np.maximum(total, 1)] for scale, lost in gone.items()}
    return {"bins": list(BINS), "objects": total.tolist(), "lost": shares}


# --- Runs ---------------------------------------------------------------------------------------------------


def run(artifact: Artifact, way: str, seed: int, steps: int, far: tuple[int, int], folder: Path) -> dict[str, Any]:
    training = {**TRAINING, "aux": way, "seed": seed, "steps": steps, "save_every": steps, "evaluate_every": steps}
    metrics = loop.train([artifact], folder, settings_of("cpp", training), resume=True)
    found = scored(artifact, folder, far)
    assert abs(found["miou"] - metrics["miou"]) < 1e-6, "two ways to score, one mIoU"
    return {"way": way, "seed": seed, "seconds": metrics["seconds"], "loss": metrics["loss"], **found}


def scored(artifact: Artifact, folder: Path, far: tuple[int, int]) -> dict[str, Any]:
    """What the net of a run gets on val: see `Scores.report`."""
    net = checkpoint.net_of(checkpoint.load(folder))
    index = build_index([artifact])
    scores = Scores(len(index.classes), far)
    confusion_of(net, Samples(index, None), rows_of(index, "val"), activation="softmax", watch=scores.watch)
    return scores.report(index.classes)


def summary(runs: Sequence[Mapping[str, Any]], ways: Sequence[str] = WAYS) -> dict[str, dict[str, list[float]]]:
    """way -> score -> [mean, standard deviation over seeds]; and the same of first way - other, seed by seed."""
    scores = ("miou", "miou of thin classes", "miou far")
    values: dict[str, dict[str, list[float]]] = {}
    for way in ways:
        mine = sorted((r for r in runs if r["way"] == way), key=lambda r: r["seed"])
        named = {name: [r[name] for r in mine] for name in scores}
        named |= {f"objects of {name} px": [r["iou by size"][name] for r in mine] for name in BINS}
        named |= {f"class {name}": [r["iou"][name] for r in mine] for name in mine[0]["iou"]}
        values[way] = {name: found for name, found in named.items() if None not in found}
    first, *others = ways
    for other in others:
        pairs = values[first].keys() & values[other].keys()
        values[f"{first} - {other}"] = {
            name: [a - b for a, b in zip(values[first][name], values[other][name], strict=True)]
            for name in values[first]
            if name in pairs
        }
    return {
        way: {name: [statistics.mean(v), statistics.stdev(v)] for name, v in named.items()}
        for way, named in values.items()
    }


def tables(results: Mapping[str, Any]) -> str:
    """What docs/cpp.md shows: two tables for each data set, in hundredths, of the seeds that all ways were run with."""
    parts = []
    for facts in results["data"].values():
        seeds = complete_seeds(facts["runs"])
        if len(seeds) < 2:
            continue
        found = summary([run for run in facts["runs"] if run["seed"] in seeds])
        parts.append(f"**{facts['title']}**; {len(seeds)} seeds, {facts['images']['val']} images of val.")
        rows = [[name, *(cell(way, found[way].get(name)) for way in found)] for name in found["cpp"]]
        parts.append(table(["IoU, %", *found], rows))
        counts = facts["objects"]
        lost = [[f"at {at}", *(f"{100 * share:.0f}" for share in shares)] for at, shares in counts["lost"].items()]
        sizes = [f"{name} px" for name in counts["bins"]]
        rows = [["there are", *(f"{number:,}" for number in counts["objects"])], *lost]
        parts.append(table(["objects that nearest labels lose, %", *sizes], rows))
    return "\n\n".join(parts)


def cell(way: str, found: Sequence[float] | None) -> str:
    if found is None:
        return ""
    mean, deviation = found
    return f"{100 * mean:{'+' if ' - ' in way else ''}z.1f} ± {100 * deviation:.1f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], f"|---|{'---:|' * (len(head) - 1)}", *lines[1:]])


def complete_seeds(runs: Sequence[Mapping[str, Any]], ways: Sequence[str] = WAYS) -> set[int]:
    """Those that every way was run with."""
    return set.intersection(*({r["seed"] for r in runs if r["way"] == way} for way in ways))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scratch", type=Path, required=True, help="for data and runs")
    parser.add_argument("--camvid", type=Path, help="a folder with train/, trainannot/, val/, valannot/")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = {"streets": (streets(args.scratch), "Generated street scenes, 384x192, 19 classes")}
    if args.camvid:
        data["camvid"] = (camvid(args.camvid, args.scratch), "CamVid at 240x180, 11 classes")
    results: dict[str, Any] = {
        "command": "python -m benchmarks.cpp_evidence --scratch DIR"
        + (" --camvid DIR" if args.camvid else "")
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
        facts = {"title": title, "images": images, "far rows": list(horizon(artifact))}
        facts |= {"objects": objects_lost(artifact), "runs": there}
        results["data"][name] = facts
    for seed in range(args.seeds):
        for name, (artifact, _) in data.items():
            facts = results["data"][name]
            for way in WAYS:
                if any((r["seed"], r["way"]) == (seed, way) for r in facts["runs"]):
                    continue
                far = (facts["far rows"][0], facts["far rows"][1])
                folder = args.scratch / "runs" / f"{name}-{way}-{seed}-{args.steps}"
                found = run(artifact, way, seed, args.steps, far, folder)
                facts["runs"].append(found)
                args.results.write_text(json.dumps(results, indent=1) + "\n")
                print(name, way, seed, f"{found['seconds']} s, mIoU {found['miou']:.3f}", flush=True)
    args.results.write_text(json.dumps(results, indent=1) + "\n")
    print(tables(results))


if __name__ == "__main__":
    main()

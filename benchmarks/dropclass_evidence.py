"""Does DropClass do at our size what its paper says of it? A planted bias, and real CamVid.

    python -m benchmarks.dropclass_evidence --work DIR [--camvid DIR] [--seeds 3] [--worlds planted,streets,camvid]
    python -m benchmarks.dropclass_evidence --page

Arms, all of the model `tiny` with a linear classifier, by AdamW: `ce`, `ce` for as many steps as DropClass has (the
equal length that the paper lacks), and `dropclass`, for twice as many as the first, as in the paper. Worlds:
`benchmarks.colocation`; Streets with planted pairs (`unify sample --colocation 1`, 256 x 128); and CamVid at half its
size (240 x 180; SegNet's release is 480 x 360).

For each seed: influences by erasing, of the long baseline and of DropClass; I and I* (Top3 of either; Top1 in the
planted world) on the split val, of all arms; I alone where co-location holds and where it is broken (planted: splits
val and test; Streets: the training split of another seed, and val); and the probe of Appendix A for one class. A run
that is there already is not done again; a line is printed for each.

Results: results/dropclass_evidence.json, and, with --page, tables in docs/dropclass.md, where those of
results/dropclass.json (the cost) stand too.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks import colocation
from benchmarks.dropclass import RESULTS as COST
from trainers import loop
from trainers.checkpoint import load, net_of
from trainers.data import Samples
from trainers.evaluate import rows_of
from trainers.influence_sweep import answers_of, erased, influence_of
from trainers.metrics import confusion_matrix
from trainers.probe import Training, probe
from trainers.settings import settings_of
from unify.artifact import Artifact, locate
from unify.cli import run as unify
from unify.draws.index import build_index
from unify.influence import TOP
from unify.report.ratio_tables import ModelScores, robustness
from unify.sample import write_streets

RESULTS = Path(__file__).parent / "results" / "dropclass_evidence.json"
PAGE = Path(__file__).parents[1] / "docs" / "dropclass.md"
MARK = "<!-- tables: python -m benchmarks.dropclass_evidence --page -->\n"
LEAST = 3  #: seeds that a world needs for a place on the page
ARMS = {"baseline": ("ce", 1), "baseline, equal length": ("ce", 2), "DropClass": ("dropclass", 2)}
SELECTING = ("baseline, equal length", "DropClass")


@dataclass(frozen=True, slots=True)
class World:
    """steps: of the short arm. given: settings. images: of val, for influences and I*; 0 for all. probed: a class.

    broken: a split where co-location is. shown: classes to report where it holds and where it is broken. top: how
    many classes are erased for each: with five in all, three would leave hardly anything.
    """

    steps: int
    given: Mapping[str, Any]
    images: int
    probed: str
    broken: str = ""
    shown: tuple[str, ...] = ()
    top: int = TOP


SHOWN = ("leaner", "loner", "cue")
PAIRED = ("bus", "truck", "person", "bicycle", "motorcycle", "fence")
WORLDS = {
    "planted": World(300, {"crop": 64, "batch": 8, "scale_min": 1.0, "scale_max": 1.0}, 0, "leaner", "test", SHOWN, 1),
    "streets": World(800, {"crop": 96, "batch": 4}, 40, "bus", "val", PAIRED),
    "camvid": World(400, {"crop": 96, "batch": 4}, 50, "pole"),
    "camvid-longer": World(1200, {"crop": 96, "batch": 4}, 50, "car"),
}


def planted(work: Path) -> Artifact:
    raw = work / "raw-planted"
    if not raw.is_dir():
        colocation.write(raw)
    build(work, "O", "--config", str(raw / "unify.toml"), "--mappings", str(raw / "my"), "--name", "planted",
          *(part for split in colocation.COUNTS for part in ("--split", split)))  # fmt: skip
    return locate("planted", work / "out")


def streets(work: Path, name: str, images: int, seed: int) -> Artifact:
    raw = work / f"raw-{name}"
    write_streets(raw, "C", images, seed, size=0.125, colocation=1.0)
    build(work, "C", "--root", str(raw), "--name", name)
    return locate(name, work / "out")


def artifacts_of(name: str, work: Path, real: Path | None) -> tuple[Artifact, tuple[Artifact, str] | None]:
    """What is learned from; and where co-location holds that is not learned from, an artifact and split of it."""
    if name == "planted":
        artifact = planted(work)
        return artifact, (artifact, "val")
    if name == "streets":
        return streets(work, "streets", 240, 0), (streets(work, "streets-other", 60, 1), "train")
    assert real is not None, "--camvid is due"
    return camvid(work, real), None


def camvid(work: Path, real: Path) -> Artifact:
    raw = work / "raw" / "camvid"
    for file in () if raw.is_dir() else sorted(real.glob("*/*.png")):
        pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        how = cv2.INTER_NEAREST if pixels.ndim == 2 else cv2.INTER_AREA
        half = cv2.resize(pixels, (pixels.shape[1] // 2, pixels.shape[0] // 2), interpolation=how)
        (raw / file.parent.name).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(raw / file.parent.name / file.name), half)
    build(work, "V", "--root", str(raw.parent), "--name", "camvid-half")
    return locate("camvid-half", work / "out")


def build(work: Path, letter: str, *options: str) -> None:
    code = unify(["build", "--datasets", letter, "-o", str(work / "out"), "-j", "1", *options])
    assert code == 0, code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path)
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--camvid", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--worlds", default="planted,streets,camvid", help=f"of {', '.join(WORLDS)}")
    args = parser.parse_args()
    if args.page:
        head, _, _ = PAGE.read_text().partition(MARK)
        PAGE.write_text(head + MARK + tables(json.loads(RESULTS.read_text()), json.loads(COST.read_text())))
        return
    if args.work is None:
        parser.error("--work is due")
    torch.set_num_threads(1)
    runs: list[dict[str, Any]] = []
    log = args.work / "runs.jsonl"
    if log.is_file():
        runs = [json.loads(line) for line in log.read_text().splitlines()]
    args.work.mkdir(parents=True, exist_ok=True)
    for seed in range(args.seeds):
        for name in args.worlds.split(","):
            if any(r["world"] == name and r["seed"] == seed for r in runs):
                continue
            artifact, intact = artifacts_of(name, args.work, args.camvid)
            found = measured(artifact, intact, WORLDS[name], seed, args.work / "runs" / name)
            runs.append({"world": name, "seed": seed, "steps": WORLDS[name].steps, **found})
            with log.open("a") as out:
                out.write(json.dumps(runs[-1]) + "\n")
            earlier = json.loads(RESULTS.read_text())["worlds"] if RESULTS.is_file() else {}
            results = summary(runs)
            RESULTS.write_text(json.dumps({**results, "worlds": {**earlier, **results["worlds"]}}, indent=1) + "\n")
            print(json.dumps(runs[-1]["scores"]), flush=True)


def measured(
    artifact: Artifact, intact: tuple[Artifact, str] | None, world: World, seed: int, folder: Path
) -> dict[str, Any]:
    """Everything of one world and seed."""
    paths = {}
    for arm, (method, factor) in ARMS.items():
        out = folder / f"{artifact.manifest.name}-{arm.replace(', ', '-').replace(' ', '-')}-{seed}"
        given = {"steps": world.steps * factor, "lr": 3e-3, "seed": seed, "classifier": "linear", **world.given}
        given |= {"evaluate_split": "none", "threads": 1}
        loop.train([artifact], out, settings_of(method, given), resume=True)
        paths[arm] = out
    found: dict[str, Any] = {"scores": {}, "influence": {}, "probe": {}}
    if intact is not None:
        found["intact"] = {arm: whole(path, *intact) for arm, path in paths.items()}
        found["broken"] = {arm: whole(path, artifact, world.broken) for arm, path in paths.items()}
    for selecting in SELECTING:
        influences = influence_of(paths[selecting], artifact, images=world.images, batch=8)
        found["influence"][selecting] = {
            "top": influences.top(),
            "greatest": {name: next(iter(others.values())) for name, others in influences.ranked().items()},
        }
        models = unbiased(paths, artifact, influences.top(world.top), world.images)
        table = robustness(models, selecting=list(paths).index(selecting))
        found["scores"][selecting] = {
            row.name: dict(zip(table.columns, row.cells, strict=True)) for row in table.rows if row.name[0] != "Δ"
        }
    for arm in SELECTING:
        facts, _ = probe(paths[arm], artifact, [world.probed], training=Training(steps=100, crop=world.given["crop"]))
        found["probe"][arm] = {**facts["classes"][world.probed], "class": world.probed}
    return found


def whole(path: Path, artifact: Artifact, split: str) -> dict[str, float]:
    """IoU of each class on a split as it is."""
    from trainers.evaluate import evaluate

    found = evaluate(path, artifact, split=split)
    return {name: value for name, value in found["iou"].items() if value is not None} | {"mIoU": found["miou"]}


def unbiased(
    paths: Mapping[str, Path], artifact: Artifact, top: Mapping[str, Sequence[str]], images: int
) -> list[ModelScores]:
    """I and I* of every arm, as `unify robustness` has them of sets that `unify erase --labels void` makes.

    The sets are made in memory; classes that lack the same others in an image share one forward pass.
    """
    nets = {arm: net_of(load(path)) for arm, path in paths.items()}
    samples = Samples(build_index([artifact]), None)
    names = samples.index.classes
    ids = {name: [names.index(other) for other in others] for name, others in top.items()}
    shape = (len(nets), 1 + len(names), len(names), len(names))
    total = np.zeros(shape, np.int64)  # confusion matrices: as they are, then of each class's set
    for row in rows_of(samples.index, "val", images).tolist():
        sample, sample_id = samples[row], str(samples.index.sample_id[row])
        label_hw = sample.label_hw.numpy()
        image_hwc = np.ascontiguousarray(sample.image_chw.numpy().transpose(1, 2, 0))
        shown = set(np.unique(label_hw).tolist())
        lacking = {name: tuple(sorted(shown & set(others))) for name, others in ids.items()}
        wanted = [(), *dict.fromkeys(lack for lack in lacking.values() if lack)]
        variants = [erased(image_hwc, label_hw, lack, "mean", sample_id) for lack in wanted]
        for n, net in enumerate(nets.values()):
            answers = dict(zip(wanted, answers_of(net, variants, sample.allowed_k, 8), strict=True))
            total[n, 0] += confusion_matrix(answers[()], label_hw, len(names))
            for name, lack in lacking.items():
                truth_hw = np.where(np.isin(label_hw, lack), 255, label_hw).astype(np.uint8)
                total[n, 1 + names.index(name)] += confusion_matrix(answers[lack], truth_hw, len(names))
    hit = total.diagonal(axis1=2, axis2=3)
    pixels = total.sum(3)
    union = pixels + total.sum(2) - hit
    iou = np.divide(hit, union, out=np.full(hit.shape, np.nan), where=(pixels > 0) & (union > 0))
    return [
        ModelScores(
            arm,
            {name: _known(iou[n, 0, k]) for k, name in enumerate(names)},
            {name: _known(iou[n, 1 + k, k]) if name in ids else None for k, name in enumerate(names)},
        )
        for n, arm in enumerate(nets)
    ]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


# --- What comes of it ---------------------------------------------------------------------------------------


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean and standard deviation (of a sample), and the values."""
    mean = statistics.fmean(values)
    return {"mean": mean, "std": statistics.stdev(values) if len(values) > 1 else None, "values": list(values)}


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """{"command", "torch", "worlds": {world: {"seeds", "steps", "selecting": {arm: {row: {"mIoU", "mIoU*"}}},
    "intact", "broken": {arm: {"mIoU", class}}, "probe": {arm: {"net", "kept", "dropped"}}, "ranked": [..]}}}; percent.
    """
    worlds: dict[str, Any] = {}
    for name in dict.fromkeys(r["world"] for r in runs):
        mine = [r for r in runs if r["world"] == name]
        selecting = {
            arm: {
                row: {key: spread([r["scores"][arm][row][key] for r in mine]) for key in ("mIoU", "mIoU*")}
                for row in mine[0]["scores"][arm]
            }
            for arm in SELECTING
        }
        found = {"seeds": len(mine), "steps": mine[0]["steps"], "selecting": selecting}
        keys = (*WORLDS[name].shown, "mIoU")
        for where in ("intact", "broken"):
            if where in mine[0]:
                found[where] = {
                    arm: {key: spread([100 * r[where][arm].get(key, 0.0) for r in mine]) for key in keys}
                    for arm in ARMS
                }
        found["probe"] = {
            arm: {key: spread([100 * r["probe"][arm][key] for r in mine]) for key in ("net", "kept", "dropped")}
            for arm in SELECTING
        }
        found["probed"] = WORLDS[name].probed
        found["top"] = {arm: [r["influence"][arm]["top"] for r in mine] for arm in SELECTING}
        worlds[name] = found
    return {
        "command": "python -m benchmarks.dropclass_evidence --work DIR --camvid DIR --seeds 3",
        "torch": torch.__version__,
        "worlds": worlds,
    }


def tables(results: Mapping[str, Any], cost: Mapping[str, Any]) -> str:
    """Markdown: of each world with enough seeds I and I*, where co-location is broken, the probe; then the cost."""
    parts = []
    for name, world in results["worlds"].items():
        if world["seeds"] < LEAST:  # not done yet
            continue
        parts.append(f"\n### {TITLES[name]}\n\n{world['seeds']} seeds, {world['steps']} steps, or twice as many.\n")
        for selecting, rows in world["selecting"].items():
            of = "DropClass" if selecting == "DropClass" else f"the {selecting}"
            parts.append(f"\nTop{WORLDS[name].top} of {of}:\n\n")
            parts.append(_lines(["", "mIoU (I)", "mIoU (I*)", "Δ", "mIoU* (I)", "mIoU* (I*)", "Δ"], [
                [arm, *(_told(v) for key in ("mIoU", "mIoU*") for v in _both(rows, arm, key))] for arm in ARMS
            ]))  # fmt: skip
        for where, said in (("intact", "holds, as in training"), ("broken", "is broken")):
            if where in world:
                keys = (*WORLDS[name].shown, "mIoU")
                rows_of_arms = [[arm, *(_told(world[where][arm][key]) for key in keys)] for arm in ARMS]
                parts.append(f"\nIoU where co-location {said}:\n\n" + _lines(["", *keys], rows_of_arms))
        heads = ["", "the net", "new classifier", "class dropped"]
        probes = [[arm, *(_told(world["probe"][arm][key]) for key in ("net", "kept", "dropped"))] for arm in SELECTING]
        parts.append(f"\nIoU of {world['probed']} (`unify probe`):\n\n" + _lines(heads, probes))
    parts.append("\n### Cost\n\nOf an update, over cross-entropy's, on a CPU (`python -m benchmarks.dropclass`).\n\n")
    heads = ["net", "batch", "products", "time", "memory", "time over ce in tiles", "memory over ce in tiles"]
    parts.append(_lines(heads, [
        [f"`{model}`", _batch(one["command"]), _over(one["flops_over_ce"]),
         *(_cost(one, what, base) for base in ("ce", "tiles") for what in ("time", "memory"))]
        for model, one in cost.items()
    ]))  # fmt: skip
    return "".join(parts)


TITLES = {
    "planted": "A planted bias",
    "streets": "Streets with planted pairs, 256 x 128, split val (co-location broken)",
    "camvid": "CamVid, 240 x 180, split val",
    "camvid-longer": "CamVid, for three times as long",
}


def _both(rows: Mapping[str, Any], arm: str, key: str) -> list[dict[str, Any]]:
    before, after = (rows[f"{arm} ({on})"][key] for on in ("I", "I*"))
    delta = spread([b - a for a, b in zip(before["values"], after["values"], strict=True)])
    return [before, after, delta]


def _told(found: Mapping[str, Any]) -> str:
    """Mean ± standard deviation."""
    return f"{found['mean']:.1f}" + ("" if found["std"] is None else f" ± {found['std']:.1f}")


def _batch(command: str) -> str:
    """Images, their height and width, of a command with all its options."""
    words = command.split()
    batch, crop, width = (int(words[words.index(f"--{name}") + 1]) for name in ("batch", "crop", "width"))
    return f"{batch} of {crop} x {width or crop}"


def _over(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.0f} %"


def _cost(one: Mapping[str, Any], what: str, base: str) -> str:
    """The median, and the quartiles where there are some. Older results have neither these nor a ratio to `tiles`."""
    found, key = one["dropclass"], f"{what}_over_{base}"
    if key not in found:
        return _over(found[f"{what}_over_ce"] / one["ce in tiles"][f"{what}_over_ce"])
    span = [_over(found[f"{key}_{end}"])[:-2] for end in ("low", "high") if f"{key}_{end}" in found]
    return _over(found[key]) + (f" ({' … '.join(span)})" if span else "")


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "".join(f"| {' | '.join(line)} |\n" for line in [head, rule, *rows])


if __name__ == "__main__":
    main()

"""Does instance-wise uncertainty help rare classes and other weather? Small nets on Streets, all controls, 3 seeds.

    python -m benchmarks.uncertainty_evidence [--seeds 3] [--steps 200] [--scratch FOLDER]
    python -m benchmarks.uncertainty_evidence --table     # of the results that there are, into docs/uncertainty.md

Generated streets in clear weather, as Cityscapes (C), and in fog, night, rain and snow, as ACDC (A): 64 training and
16 test images each, 256x128 and 240x135 pixels, 19 classes. Each net is trained on one and scored on both. `tiny`
with a linear classifier, images stretched to 128x128 for training and scoring, no augmentation, Adam 2e-3, poly 0.9,
batch 2, the last checkpoint; all ways have the same number of updates, images and draws. No ImageNet weights, so the
backbone has the full rate. The mean of the loss is over all pixels.

Three members, plain cross-entropy with seeds of their own, are trained once for each direction, and their maps stored;
nets with other seeds are then trained with these maps. "mc-dropout": 8 passes of the first member with a fifth of its
features dropped. "snapshots": the first member after a half, three quarters and all of its training. "online": three
nets at once, and the first alone is scored as well ("online, one"). Results are written as they come, and kept.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from trainers import checkpoint, loop
from trainers.data import Samples
from trainers.ensemble import Ensemble
from trainers.evaluate import confusion_of, ratios, rows_of
from trainers.seedstats import mean_of_classes, mean_std, paired_t
from trainers.settings import Settings, settings_of
from trainers.uncertainty_sweep import Looking, make_maps
from unify.artifact import Artifact, locate
from unify.build import build
from unify.draws.index import build_index
from unify.plan import plan_build
from unify.roots import resolve_roots
from unify.sample import write_streets
from unify.sources import SOURCES
from unify.taxonomy import taxonomy_for

RESULTS = Path(__file__).parent / "results" / "uncertainty_evidence.json"
PAGE = Path(__file__).parent.parent / "docs" / "uncertainty.md"
BEGIN, END = "<!-- evidence -->", "<!-- end of evidence -->"
LETTERS = {"clear": "C", "weather": "A"}
IMAGES, SCALE, SIDE, BATCH, LR = 64, 0.125, 128, 2, 2e-3
MEMBER_SEEDS = (100, 101, 102)
#: name -> what the maps are made of; "members" are the three nets.
STORED = {
    "instance": ("members", Looking("instance")),
    "pixel": ("members", Looking("pixel")),
    "class": ("members", Looking("class")),
    "truth": ("members", Looking("truth")),
    "shuffled": ("members", Looking("shuffled")),
    "mc-dropout": ("first", Looking("instance", dropout_passes=8, dropout=0.2)),
    "snapshots": ("snapshots", Looking("instance")),
}
OF_CLASSES = ("inverse", "inverse-sqrt", "enet")
WAYS = ("none", *STORED, *OF_CLASSES, "online", "online, one")
BASE = "none"


def versions(scratch: Path) -> dict[str, Artifact]:
    """Both sets of streets, built in cityscapes19."""
    found = {}
    for name, letter in LETTERS.items():
        out = scratch / "out" / name
        if not out.exists():
            roots = scratch / f"streets-{name}"
            write_streets(roots, [letter], images=IMAGES, seed=0, size=SCALE)
            detected = resolve_roots(letter, [str(roots)], environ={})
            releases = {source: SOURCES[source].releases[d.release] for source, d in detected.items()}
            spaces, trained = ({n: getattr(r, k) for n, r in releases.items()} for k in ("space", "train_space"))
            plan = plan_build(detected, taxonomy_for(spaces, trained, "cityscapes19"), ("train", "val"), name=name)
            build(plan, scratch / "out")
        found[name] = locate(name, scratch / "out")
    return found


def settings(steps: int, seed: int, model: str = "tiny", **own: Any) -> Settings:
    chosen = {"model": model, "steps": steps, "seed": seed, "batch": BATCH, "crop": SIDE, "lr": LR}
    chosen |= {"optimizer": "adam", "weight_decay": 0.0, "stretch": True, "flip": 0.0, "threads": 1}
    chosen |= {"evaluate_split": "none", "save_every": steps, "device": "cpu"}
    return settings_of("uncertainty", {**chosen, **own})


def trained(artifact: Artifact, folder: Path, chosen: Settings, weights: Path | None = None) -> Path:
    if not (folder / "metrics.json").exists():
        loop.train([artifact], folder, chosen, weights=weights, resume=True)
    return folder


def members(artifact: Artifact, folder: Path, steps: int) -> dict[str, list[Path]]:
    """The three nets, and the snapshots of the first."""
    first, kept = folder / f"member-{MEMBER_SEEDS[0]}", [folder / f"snapshot-{part}" for part in (2, 3)]
    if not all(path.exists() for path in kept):
        shutil.rmtree(first, ignore_errors=True)
        done = 0

        def keep(number: int, _: int) -> None:
            nonlocal done
            done += number
            for part, path in zip((2, 3), kept, strict=True):
                if number and done == part * max(1, steps // 4):
                    path.mkdir(exist_ok=True)
                    shutil.copy(first / checkpoint.PT, path / checkpoint.PT)

        chosen = settings(steps, MEMBER_SEEDS[0], weighting="none", save_every=max(1, steps // 4))
        loop.train([artifact], first, chosen, advance=keep)
    nets = [trained(artifact, folder / f"member-{s}", settings(steps, s, weighting="none")) for s in MEMBER_SEEDS]
    return {"members": nets, "first": [first], "snapshots": [*kept, first]}


def scores(net: Any, tests: dict[str, Artifact], chosen: Settings) -> dict[str, Any]:
    """Test set -> {"miou", "iou"} on stretched images and labels."""
    found = {}
    for name, artifact in tests.items():
        samples = Samples(build_index([artifact]), chosen.view())
        counts = confusion_of(net, samples, rows_of(samples.index, "val"), activation="softmax")
        result = ratios(sum(counts.values()), artifact.taxonomy.space.names)  # type: ignore[arg-type]
        iou = {k: None if v is None else round(v, 5) for k, v in result["iou"].items()}
        found[name] = {"miou": round(result["miou"], 5), "iou": iou}
    return found


def run(args: argparse.Namespace) -> None:
    scratch: Path = args.scratch
    scratch.mkdir(parents=True, exist_ok=True)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    facts = {"steps": args.steps, "images": IMAGES, "side": SIDE, "batch": BATCH, "lr": LR, "net": "tiny"}
    if results.get("facts", facts) != facts:
        raise SystemExit(f"{RESULTS.name} has results of other settings: remove it first")
    results = {"command": f"python -m benchmarks.uncertainty_evidence --steps {args.steps}", "facts": facts, **results}
    runs = results.setdefault("runs", {})
    data = versions(scratch)
    for name, artifact in data.items():
        results.setdefault("rare", {})[name] = rare_classes(artifact)
    for seed in range(args.seeds):
        for trained_on, artifact in data.items():
            folder = scratch / trained_on
            made_of = members(artifact, folder, args.steps)
            for way in WAYS[:-1]:
                done = runs.setdefault(trained_on, {}).setdefault(way, {})
                if str(seed) in done:
                    continue
                started = time.process_time()
                weights = None
                own: dict[str, Any] = {"weighting": way if way in OF_CLASSES or way == "none" else "instance"}
                if way in STORED:
                    kind, how = STORED[way]
                    maps = make_maps(made_of[kind], artifact, scratch / "maps", how, name=f"{trained_on}-{way}")
                    weights = maps.artifact.path
                chosen = settings(args.steps, seed, "tiny+tiny+tiny" if way == "online" else "tiny", **own)
                path = trained(artifact, folder / f"{way}-{seed}", chosen, weights)
                net = checkpoint.net_of(checkpoint.load(path))
                done[str(seed)] = scores(net, data, chosen)
                if isinstance(net, Ensemble):
                    one = runs[trained_on].setdefault("online, one", {})
                    one[str(seed)] = scores(net.members[0], data, chosen)
                results["cpu_seconds"] = results.get("cpu_seconds", 0) + round(time.process_time() - started)
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")
                found = {test: round(score["miou"], 3) for test, score in done[str(seed)].items()}
                print(f"seed {seed}, trained on {trained_on}, {way}: {found}", flush=True)


def rare_classes(artifact: Artifact) -> list[str]:
    """The rarer half by labelled pixels of the train split, of the classes that occur."""
    from unify.stats import least_frequent_half

    names = artifact.taxonomy.space.names
    rows = [row for row in artifact.stats().to_pylist() if row["split"] == "train" and row["class_id"] < len(names)]
    pixels = torch.zeros(len(names), dtype=torch.int64)
    for row in rows:
        pixels[row["class_id"]] += row["pixels"]
    return [name for name, rare in zip(names, least_frequent_half(pixels.numpy()), strict=True) if rare]


# --- The table ----------------------------------------------------------------------------------------------


def table(results: dict[str, Any]) -> list[str]:
    """Markdown: for each direction and way mIoU and the mean of the rare classes, and what differs from "none"."""
    lines = []
    for trained_on, ways in results["runs"].items():
        rare = results["rare"][trained_on]
        lines += ["", f"Trained on {trained_on}; the rarer half of its classes: {', '.join(rare)}.", ""]
        tests = list(LETTERS)
        heads = [f"{what}, {test}" for test in tests for what in ("mIoU", "rare")]
        lines += [f"| weights | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
        for way in (w for w in WAYS if ways.get(w)):
            cells = []
            for test in tests:
                for classes in (None, rare):
                    base, mine = paired(ways, way, test, classes)
                    cells.append(_cell(base, mine, way == BASE))
            lines.append(f"| {way} | {' | '.join(cells)} |")
    return lines[1:]


def evidence(results: dict[str, Any]) -> list[str]:
    """What docs/uncertainty.md says: the table, and each class with weights and without."""
    seeds = {way: len(found) for ways in results["runs"].values() for way, found in ways.items()}
    head = f"{results['facts']['steps']} updates, {min(seeds.values())} seeds, {results['cpu_seconds']} s of one CPU."
    lines = [
        head,
        "",
        *table(results),
        "",
        "IoU by class, plain nets and with the weights of instances (p of a paired t-test):",
    ]
    cases = [(trained_on, test) for trained_on in results["runs"] for test in LETTERS]
    found = {case: {row[0]: row[1:] for row in class_rows(results, *case, "instance")} for case in cases}
    names = list(dict.fromkeys(name for rows in found.values() for name in rows))
    lines += ["", f"| class | {' | '.join(f'{a} → {b}' for a, b in cases)} |", "|---|" + "---|" * len(cases)]
    for name in names:
        cells = [found[case].get(name) for case in cases]
        shown = [f"{100 * c[0]:.1f} → {100 * c[1]:.1f} ({c[2]:.2f})" if c else "–" for c in cells]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return lines


def paired(ways: dict[str, Any], way: str, test: str, classes: Sequence[str] | None) -> tuple[list[float], list[float]]:
    """Scores of the plain nets and of this way, of the seeds that both have."""
    seeds = [seed for seed in ways[way] if seed in ways[BASE]]

    def value(name: str, seed: str) -> float:
        score = ways[name][seed][test]
        found = score["miou"] if classes is None else mean_of_classes(score["iou"], classes)
        return float(found)

    return [value(BASE, seed) for seed in seeds], [value(way, seed) for seed in seeds]


def _cell(base: Sequence[float], mine: Sequence[float], is_base: bool) -> str:
    mean, std = mean_std(mine)
    text = f"{100 * mean:.1f}±{100 * std:.1f}"
    if is_base or len(mine) < 2:
        return text
    return f"{text} ({100 * (mean - mean_std(base)[0]):+.1f}, p {paired_t(base, mine)[1]:.2f})"


def class_rows(results: dict[str, Any], trained_on: str, test: str, way: str) -> list[tuple[str, float, float, float]]:
    """Each class: mean IoU of plain nets, of this way, and the p of a paired t-test; without seeds that lack it."""
    ways, rows = results["runs"][trained_on], []
    for name in next(iter(ways[BASE].values()))[test]["iou"]:
        pairs = [
            (ways[BASE][seed][test]["iou"][name], ways[way][seed][test]["iou"][name])
            for seed in ways[way]
            if seed in ways[BASE]
        ]
        known = [(a, b) for a, b in pairs if a is not None and b is not None]
        if len(known) >= 2:
            base, mine = ([pair[i] for pair in known] for i in (0, 1))
            rows.append((name, mean_std(base)[0], mean_std(mine)[0], paired_t(base, mine)[1]))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--scratch", type=Path, default=Path("build/uncertainty_evidence"))
    parser.add_argument("--table", action="store_true", help="Train nothing.")
    args = parser.parse_args()
    if not args.table:
        torch.set_num_threads(1)
        run(args)
    results = json.loads(RESULTS.read_text())
    text = "\n".join(evidence(results))
    print(text)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()

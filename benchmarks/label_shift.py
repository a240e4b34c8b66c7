"""The label-shift benchmark: are class relations found that are known to be true, and does training with them help?

    python -m benchmarks.label_shift --work DIR [--camvid DIR] [--parts b,streets,hard] [--seeds 0,1,2] [--gpu]
    python -m benchmarks.label_shift --work DIR --parts streets-240 --methods ''             # twice as many images
    python -m benchmarks.label_shift --work DIR --parts streets-alike --methods ''    # label shift, no content shift
    python -m benchmarks.label_shift --work DIR --camvid DIR --parts b@0.25 --methods ''    # a quarter of the steps

Two worlds whose truth is known. "b" and "hard" are CamVid's training images, dealt to sources that name its classes
differently (`benchmarks.deals`), and scored on its validation images in the 11 classes. "streets" is the made-up
C+I+B+M (`unify sample`), scored on streets with the looks of KITTI, WildDash and CamVid.

Relations are from two kinds of evidence: one sweep of the net, and a classifier fitted anew on its features
(`trainers.refit`; "refitted").

A method is two stages with equal numbers of steps for all, the second from the first one's weights with a fresh
schedule. With --gpu the first stage has the method's own loss: class-relational BCE takes Null BCE's, and its control
is Null BCE going on for as long; NLL+ without relations is cross-entropy, whose first stage it shares. On a CPU all
go on from the Null BCE net. "true" relations are those of the truth, "learned" the calibrated rule's, from the
evidence of the Null BCE net of the same seed; where both have the same edges, they are one run.

The work folder holds data, nets and evidence; what is there is not made again, so a run that was stopped goes on.
Results are written after each step of the plan to benchmarks/results/label_shift.json, and from there into
docs/uniseg.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.deals import DEALS, JUDGE, write_deal
from benchmarks.label_shift_ideal import faultless, of_what_is_shown
from benchmarks.label_shift_page import WHY, summary, write_page
from trainers import loop, refit
from trainers.evaluate import evaluate
from trainers.settings import settings_of
from trainers.sweep import evidence_of
from unify.artifact import Artifact, locate
from unify.cli import app
from unify.relations.evidence import UNIT, Evidence
from unify.relations.files import open_relations, write_relations
from unify.relations.learner import THRESHOLD, calibrated
from unify.relations.rules import Edge, Estimate, Relations, paper
from unify.relations.score import LEAST, Shares, average_precision, found_by, ranks_of, read_truth, score

RESULTS = Path(__file__).parent / "results" / "label_shift.json"
STREETS = "streets"
MORE_STREETS = "streets-240"
ALIKE = "streets-alike"  #: every source shows the same kinds of streets
UNSEEN = {"kitti": ("K", "cityscapes19"), "wilddash": ("W", "cityscapes19"), "camvid": ("V", "camvid11")}


@dataclass(frozen=True, slots=True)
class Size:
    """steps: of the first and the second stage. own: whether the first stage has each method's own loss. images: of
    Streets, per source; unseen: per look. stride: of the pixels that evidence is from.
    """

    steps: tuple[int, int]
    settings: Mapping[str, Any]
    height: int = 240
    images: int = 0
    unseen: int = 0
    own: bool = False
    stride: int = 1


_TRAIN = {"mixture": "class-uniform", "photometric": 0.3, "evaluate_images": 8, "warmup": 100}
_TINY = {"threads": 1, "model": "tiny", "batch": 8, "lr": 3e-3}
_STREETS = {"crop": 192, "scale_min": 0.5, "scale_max": 1.0, "label_stride": 4, "cache": 4}
_LARGE = {"model": "hrnet-w18-small-v2", "pretrained": True, "batch": 16, "lr": 1e-3, "precision": "bf16", "workers": 8}
CPU: dict[str, Size] = {
    "deal": Size((2000, 300), {**_TRAIN, **_TINY, "crop": 160, "scale_min": 0.7, "scale_max": 1.6}),
    STREETS: Size((14000, 1000), {**_TRAIN, **_TINY, **_STREETS}, 0, 120, 8),
    MORE_STREETS: Size((10000, 1000), {**_TRAIN, **_TINY, **_STREETS, "precision": "bf16"}, 0, 240, 8, stride=4),
    ALIKE: Size((12000, 1000), {**_TRAIN, **_TINY, **_STREETS, "precision": "bf16"}, 0, 120, 8, stride=4),
}
GPU: dict[str, Size] = {
    "deal": Size((6000, 2000), {**_TRAIN, **_LARGE, "crop": 320, "scale_min": 0.7, "scale_max": 1.6}, 360, own=True),
    STREETS: Size(
        (12000, 4000), {**_TRAIN, **_LARGE, "crop": 512, "scale_min": 0.5, "scale_max": 1.5}, 0, 400, 100, own=True
    ),
}
SECOND_LR = 1 / 3  #: of the first stage's rate

#: name -> loss of the first stage, of the second, relations of the second
METHODS: dict[str, tuple[str, str, str | None]] = {
    "CE": ("ce", "ce", None),
    "BCE": ("bce", "bce", None),
    "Null BCE": ("null-bce", "null-bce", None),
    "C-R BCE, learned": ("null-bce", "cr-bce", "learned"),
    "C-R BCE, true": ("null-bce", "cr-bce", "true"),
    "NLL+, true": ("ce", "nll-plus", "parts"),
}


@dataclass(frozen=True, slots=True)
class Bench:
    """One part with one seed. `world`: the part without what follows "@", its share of the steps. `folder`: what is
    made for it; `sized`: how much.
    """

    part: str
    world: str
    seed: int
    folder: Path
    sized: Size
    results: dict[str, Any]

    @property
    def mine(self) -> dict[str, Any]:
        """Its results, by name."""
        found: dict[str, Any] = self.results["runs"].setdefault(self.part, {}).setdefault(str(self.seed), {})
        return found

    def once(self, name: str, make: Callable[[], dict[str, Any]]) -> None:
        """The result of that name, made if it is not there."""
        if name not in self.mine:
            print(f"{time.strftime('%H:%M')} {self.part} {self.seed} {name}", flush=True)
            self.mine[name] = make()


# --- Data ---------------------------------------------------------------------------------------------------


def unify(*words: object) -> None:
    code = app.main([str(word) for word in words], prog_name="unify", standalone_mode=False)
    assert not code, words


def data_of(bench: Bench, camvid: Path) -> tuple[Artifact, dict[str, Artifact], Path]:
    """The version to learn, those to be scored on, and truth.json."""
    out = bench.folder / "out"
    if bench.world.startswith(STREETS):
        seen, other = bench.folder / "seen", bench.folder / "unseen"
        if not (out / "learn").exists():
            common = ("-j", "1", "--seed", bench.seed)
            alike = ["--alike"] if bench.world == ALIKE else []
            unify("sample", seen, "--datasets", "C,I,B,M", "--images", bench.sized.images, *alike, *common)
            unify("sample", other, "--datasets", "K,W,V", "--images", bench.sized.unseen, *common)
            for name, (letter, space) in UNSEEN.items():
                unify("build", "--datasets", letter, "--root", other, "--space", space, "--name", name, "-o", out,
                      "--split", "train")  # fmt: skip
            unify("build", "--datasets", "C,I,B,M", "--root", seen, "-o", out, "--centroids", "--name", "learn",
                  "--split", "train")  # fmt: skip
        tests = {name: locate(name, out) for name in UNSEEN}
        return locate("learn", out), tests, seen / "truth.json"
    deal = DEALS[bench.world]
    config = write_deal(deal, camvid, bench.folder, seed=bench.seed, height=bench.sized.height)
    if not (out / "learn").exists():
        for name, sources in ((JUDGE, JUDGE), ("learn", ",".join(deal.says))):
            unify("build", "--datasets", sources, "--config", config, "--mappings", bench.folder / "tables",
                  "--name", name, "-o", out, "--centroids", "--split", "val" if name == JUDGE else "train")  # fmt: skip
    return locate("learn", out), {JUDGE: locate(JUDGE, out)}, bench.folder / "truth.json"


# --- Training -----------------------------------------------------------------------------------------------


def trained(
    bench: Bench, data: Artifact, name: str, loss: str, stage: int, start: Path | None, relations: Path | None = None
) -> Path:
    """The checkpoint of a stage; trained if it is not there."""
    run = bench.folder / "runs" / name

    def make() -> dict[str, Any]:
        steps = bench.sized.steps[stage]
        given = {**bench.sized.settings, "steps": steps, "seed": 2 * bench.seed + stage, "save_every": 10**6}
        if start is not None:
            given |= {"lr": given["lr"] * SECOND_LR, "begin_with": str(start.with_suffix(".safetensors"))}
        settings = settings_of(loss, {**given, "evaluate_every": 10**6})
        is_new = not run.exists()
        before, clock = time.process_time(), time.perf_counter()
        found = loop.train([data], run, settings, relations=relations, resume=True)
        return {
            "steps": steps,
            "loss": found["loss"],
            "cpu_minutes": round((time.process_time() - before) / 60, 2) if is_new else None,  # of the rest alone
            "minutes": round((time.perf_counter() - clock) / 60, 2) if is_new else None,
        }

    bench.once(f"train {name}", make)
    return run / "ckpt.pt"


def scored(bench: Bench, name: str, checkpoint: Path, tests: Mapping[str, Artifact]) -> None:
    """mIoU on what no training has seen: of the union's classes those that have the test's names, and no others."""

    def make() -> dict[str, Any]:
        found = {}
        for test, artifact in tests.items():
            split = next(iter(next(iter(artifact.manifest.sources.values()))["splits"]))
            result = evaluate(checkpoint, artifact, split=split)
            found[test] = {"miou": result["miou"], "iou": result["iou"], "images": result["images"]}
        return {"miou": statistics.fmean(f["miou"] for f in found.values()), "tests": found}

    bench.once(f"score {name}", make)


# --- Relations ----------------------------------------------------------------------------------------------


def evidence_for(bench: Bench, checkpoint: Path, data: Artifact) -> Evidence:
    path = bench.folder / f"{checkpoint.parent.name}.evidence.json"
    if not path.exists():
        path.write_text(json.dumps(evidence_of(checkpoint, data, stride=bench.sized.stride).to_json()))
    return Evidence.from_json(json.loads(path.read_text()))


def refitted_for(bench: Bench, checkpoint: Path, data: Artifact) -> Evidence:
    """Evidence of a classifier that is fitted anew on the net's features."""
    path = bench.folder / f"{checkpoint.parent.name}.refit.json"

    def make() -> dict[str, Any]:
        before, is_new = time.process_time(), not path.exists()
        if is_new:
            path.write_text(json.dumps(refit.evidence_of(checkpoint, data, is_half=True).to_json()))
        return {"cpu_minutes": round((time.process_time() - before) / 60, 2) if is_new else None}

    bench.once(f"refit {checkpoint.parent.name}", make)
    return Evidence.from_json(json.loads(path.read_text()))


def judged(bench: Bench, name: str, evidence: Evidence, refitted: Evidence, data: Artifact, truth: Path) -> None:
    """Both rules against the truth; made anew each time, as it takes a second and follows from the evidence."""
    found: dict[str, Any] = {}
    every = {"refitted": calibrated(refitted), "paper": paper(evidence), "calibrated": calibrated(evidence)}
    for rule, relations in every.items():
        relations = dataclasses.replace(relations, taxonomy=data.taxonomy)
        shares = read_truth(truth, relations)
        result = score(relations, shares).all.to_json()
        found[rule] = {**result, "settings": dict(relations.settings), "by_name": by_name(relations, shares)}
        if rule != "paper":
            found[rule]["why_missed"] = why_missed(relations, shares, result["missed"])
    for simple, ranked in simple_scores(relations).items():
        precision = score(ranked, shares).all.average_precision
        found[simple] = {"average_precision": precision, "by_name": by_name(ranked, shares)["average_precision"]}
    ideal = {"faultless": faultless(evidence, shares)}
    if bench.world.startswith(STREETS):
        ideal["shown"] = of_what_is_shown(evidence, data.taxonomy, json.loads(truth.read_text()))
    for which, best in ideal.items():
        relations = dataclasses.replace(calibrated(best), taxonomy=data.taxonomy)
        found[which] = {**score(relations, shares).all.to_json(), "by_name": by_name(relations, shares)}
    bench.mine[f"relations {name}"] = found


def why_missed(relations: Relations, shares: Shares, missed: Sequence[Sequence[str]]) -> dict[str, int]:
    """How many of the missed relations have which reason, the first that holds: the related class hardly shows it in
    any other source's images (less than 0.02 of its true pixels); the net gives less than a tenth of the label's
    pixels to it; scored as an edge, and taken for the broader of two classes; scored too low."""
    evidence, ranks = relations.evidence, ranks_of(relations)
    pixels, answers, sources = evidence.total("pixels"), evidence.total("answers"), evidence.sources
    count = dict.fromkeys(WHY, 0)
    for source, label, related in missed:
        s, c, k = sources.index(source), evidence.classes.index(label), evidence.classes.index(related)
        true = [o for o in sources if (source, o) in shares and shares[source, o][c, k] >= LEAST]
        back = max((np.nan_to_num(shares[o, source][k, c]) for o in true), default=0.0)
        own = answers[s, c, s, c] / UNIT / max(pixels[s, c], 1)
        best = max(ranks.get((source, label, related, o), -np.inf) for o in true)
        low = "taken for broader" if best >= THRESHOLD else "scored low"
        count["not shown" if back < 0.02 else "not learnt" if own < 0.1 else low] += 1
    return count


def simple_scores(relations: Relations) -> dict[str, Relations]:
    """The calibrated rule's estimates with scores that need no fit, for comparison.

    told: P, what the net says. lift: sqrt(P) log(P / P_o), P_o being the mean over all of the source's pixels, times
    0.1 where the source has a class named k itself: the best of a first look at such scores.
    """
    base: dict[tuple[str, str, str], float] = {}
    for e in relations.estimates:
        key = (e.source, e.other, e.related)
        base[key] = base.get(key, 0.0) + e.told * e.pixels
    pixels = dict(zip(relations.evidence.sources, relations.evidence.total("pixels").sum(axis=1), strict=True))

    def lift(e: Estimate) -> float:
        told = max(e.told, 1e-12)
        value = math.sqrt(told) * math.log(told * pixels[e.source] / max(base[e.source, e.other, e.related], 1e-12))
        return value * (0.1 if e.source in relations.sources_of(e.related) else 1.0)

    scores = {"told": lambda e: e.told, "lift": lift}
    return {
        name: dataclasses.replace(
            relations, estimates=tuple(dataclasses.replace(e, score=float(of(e))) for e in relations.estimates)
        )
        for name, of in scores.items()
    }


def by_name(relations: Relations, shares: Shares) -> dict[str, float | None]:
    """Average precision and F1 over pairs of names (c, k), k of a source that lacks c, as first measured.

    A pair is true if it is so for some two sources, and has the best of their scores; so "Road is ground" counts
    once, whoever says Road.
    """
    evidence, names = relations.evidence, relations.evidence.classes
    ranks, found = ranks_of(relations), found_by(relations)
    best: dict[tuple[str, str], float] = {}
    true: set[tuple[str, str]] = set()
    edges: set[tuple[str, str]] = set()
    for (source, other), share in shares.items():
        lacks = ~evidence.annotated[evidence.sources.index(other)]
        here = evidence.annotated[evidence.sources.index(source)] & lacks
        for c, k in np.argwhere(here[:, None] & ~lacks & ~np.isnan(share)).tolist():
            pair, key = (names[c], names[k]), (source, names[c], names[k], other)
            best[pair] = max(best.get(pair, -np.inf), ranks.get(key, -np.inf))
            true |= {pair} if share[c, k] >= LEAST else set()
            edges |= {pair} if key in found else set()
    return {
        "candidates": len(best),
        "true": len(true),
        "average_precision": average_precision(list(best.values()), [pair in true for pair in best]),
        "f1": 2 * len(edges & true) / (len(edges) + len(true)),
    }


def true_relations(evidence: Evidence, data: Artifact, truth: Path, parts: bool = False) -> Relations:
    """Relations with an edge for all that is true: "c of this source is also k", or, as `parts`, "k may be c".

    NLL+ needs the second kind alone: its classes exclude each other, so that Road is Road and ground is Road or
    Pavement; with the first kind Road would be "Road or ground", and ground take it all.
    """
    base = dataclasses.replace(paper(evidence), taxonomy=data.taxonomy)
    shares = read_truth(truth, base)
    names, pixels, edges = evidence.classes, evidence.total("pixels"), {}
    for (source, other), share in shares.items():
        s, o = evidence.sources.index(source), evidence.sources.index(other)
        for c, k in np.argwhere(np.nan_to_num(share) >= LEAST).tolist():
            if c != k and evidence.annotated[s, c] and evidence.annotated[o, k]:
                key = (other, names[k], names[c]) if parts else (source, names[c], names[k])
                count = pixels[o, k] if parts else pixels[s, c]
                edges[key] = Edge(*key, "broader" if parts else "narrower", 1.0, 1.0, int(count))
    return dataclasses.replace(base, edges=tuple(edges.values()))


def relations_for(bench: Bench, which: str, evidence: Evidence, data: Artifact, truth: Path) -> Path:
    """The folder of learned relations, true ones, or true parts.

    Once written they stay, as nets have been trained with them.
    """
    folder = bench.folder / f"relations-{which}"
    if not (folder / "manifest.json").exists():
        learned = dataclasses.replace(calibrated(evidence), taxonomy=data.taxonomy)
        true = true_relations(evidence, data, truth, parts=which == "parts")
        write_relations(learned if which == "learned" else true, folder)
    return folder


# --- The plan -----------------------------------------------------------------------------------------------


def learn(bench: Bench, camvid: Path) -> None:
    """A Null BCE net, and what both rules make of it."""
    data, _, truth = data_of(bench, camvid)
    net = trained(bench, data, "null-bce", "null-bce", 0, None)
    judged(bench, "null-bce", evidence_for(bench, net, data), refitted_for(bench, net, data), data, truth)


def compare(bench: Bench, camvid: Path, methods: Sequence[str], save: Callable[[], None]) -> None:
    """All methods, both stages."""
    data, tests, truth = data_of(bench, camvid)
    net = trained(bench, data, "null-bce", "null-bce", 0, None)
    evidence = evidence_for(bench, net, data)
    for which in ("learned", "true", "parts"):
        relations_for(bench, which, evidence, data, truth)
    for name in methods:
        first, second, which = METHODS[name]
        first = first if bench.sized.own else "null-bce"
        start = trained(bench, data, first, first, 0, None)
        relations = None if which is None else relations_for(bench, which, evidence, data, truth)
        same = f"score {_SAME.get(name)}"
        if same in bench.mine and edges_of(bench, "learned") == edges_of(bench, "true"):
            bench.mine[f"score {name}"] = {**bench.mine[same], "same_as": _SAME[name]}
        else:
            end = trained(bench, data, f"{second}-{which or 'alone'}", second, 1, start, relations)
            scored(bench, name, end, tests)
        save()


_SAME = {"C-R BCE, true": "C-R BCE, learned"}


def edges_of(bench: Bench, which: str) -> set[tuple[str, str, str]]:
    """What training takes of relations that `relations_for` wrote."""
    targets = open_relations(bench.folder / f"relations-{which}").targets
    return {(e.source, e.label, e.related) for e in targets}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--camvid", type=Path, help="CamVid in the SegNet release; without, Streets alone")
    parser.add_argument("--parts", default="b,streets,hard")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--methods", default=";".join(METHODS), help="those to compare, by ';'; '' for relations alone")
    parser.add_argument("--gpu", action="store_true", help="larger nets, images and budgets")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    sizes = GPU if args.gpu else CPU
    results = json.loads(args.results.read_text()) if args.results.exists() else {"runs": {}}

    def save() -> None:
        results["summary"] = summary(results["runs"])
        args.results.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        if args.results == RESULTS:
            write_page(results)

    benches: list[Bench] = []
    for part in args.parts.split(","):
        world, _, share = part.partition("@")
        if world not in DEALS and world not in sizes:
            parser.error(f"there is no part {world}; known: {', '.join([*DEALS, *list(sizes)[1:]])}")
        sized = sizes["deal" if world in DEALS else world]
        first, second = (max(1, round(steps * float(share or 1))) for steps in sized.steps)
        sized = dataclasses.replace(sized, steps=(first, second))
        if world not in DEALS or args.camvid:
            seeds = map(int, args.seeds.split(","))
            benches += [Bench(part, world, seed, args.work / f"{part}-{seed}", sized, results) for seed in seeds]
    save()
    for bench in benches:
        learn(bench, args.camvid)
        save()
    for bench in benches:
        if args.methods:
            compare(bench, args.camvid, args.methods.split(";"), save)


if __name__ == "__main__":
    main()

"""The calibrated rule on made-up worlds, where the truth is known, beside the paper's rule on the same evidence.

A world has latent concepts: Gaussian clouds in feature space, near each other within a group. Every source draws
them with frequencies of its own, calls some groups by one name and others concept by concept, and leaves some out
(void). A net of one hidden layer with a cosine classifier is trained by Null BCE, briefly, and swept into `Evidence`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest

from unify.errors import UnifyError
from unify.relation_learner import calibrated
from unify.relation_rules import paper
from unify.relation_score import score
from unify.relations import UNIT, Evidence

GROUPS, PARTS, DIMENSIONS = 7, 3, 10
SCALE = 20.0
#: per source: groups that it calls by one name, and concepts that it leaves out
COARSE = {"fine": (), "coarse": (0, 1, 2, 3, 4), "mixed": (0, 2, 5)}
LEFT_OUT = {"fine": (20,), "coarse": (18,), "mixed": (7, 19)}


@dataclass(frozen=True)
class World:
    evidence: Evidence
    shares: dict[tuple[str, str], np.ndarray]  # (source, other) -> (K, K) share of label's pixels, void included


def label_tables() -> tuple[list[str], dict[str, np.ndarray]]:
    """Class names, and per source: concept -> class, -1 for void."""
    concepts = [f"g{u // PARTS}.{'abc'[u % PARTS]}" for u in range(GROUPS * PARTS)]
    called = {
        source: [
            None if u in LEFT_OUT[source] else f"g{u // PARTS}" if u // PARTS in COARSE[source] else concepts[u]
            for u in range(len(concepts))
        ]
        for source in COARSE
    }
    names = sorted({name for row in called.values() for name in row if name})
    tables = {s: np.array([-1 if n is None else names.index(n) for n in row]) for s, row in called.items()}
    return names, tables


@lru_cache(maxsize=4)
def make_world(seed: int, steps: int = 300, shift: float = 0.5, noise: float = 0.8, images: int = 40) -> World:
    rng = np.random.default_rng(seed)
    names, tables = label_tables()
    k, n_concepts = len(names), GROUPS * PARTS
    centers = np.repeat(rng.normal(size=(GROUPS, DIMENSIONS)), PARTS, axis=0) * 1.5
    centers += rng.normal(size=centers.shape) * 0.9
    common = np.exp(rng.normal(size=n_concepts) * 1.2)
    annotated = np.array([np.isin(np.arange(k), table) for table in tables.values()])
    drawn = {}
    for source in tables:
        weights = common * np.exp(rng.normal(size=n_concepts) * shift)
        offset = rng.normal(size=DIMENSIONS) * 0.3 * shift
        pictures = []
        for _ in range(images):
            present = weights * (rng.random(n_concepts) < 0.6) + 1e-9
            concepts_n = rng.choice(n_concepts, 250, p=present / present.sum())
            pictures.append((concepts_n, centers[concepts_n] + offset + rng.normal(size=(250, DIMENSIONS)) * noise))
        drawn[source] = pictures
    net = train(rng, drawn, tables, annotated, steps)
    evidence = Evidence.empty(names, list(tables), annotated, made_from={"world": str(seed)})
    counts = {(s, o): np.zeros((k, k + 1)) for s in tables for o in tables if s != o}
    for source, pictures in drawn.items():
        for i, (concepts_n, features) in enumerate(pictures):
            cosines = forward(net, features)[-1]
            labels = tables[source][concepts_n]
            evidence = evidence.add(source, f"{source}/{i}", labels, cosines, SCALE * cosines)
            for other in tables:
                if other != source:
                    there = tables[other][concepts_n]
                    kept = labels >= 0
                    np.add.at(counts[source, other], (labels[kept], there[kept]), 1)  # -1 is the last column
    shares = {pair: n[:, :-1] / np.maximum(n.sum(axis=1, keepdims=True), 1) for pair, n in counts.items()}
    return World(evidence, shares)


def forward(net, x):
    hidden, bias, rows = net
    h = np.maximum(x @ hidden + bias, 0)
    length = np.linalg.norm(h, axis=1, keepdims=True) + 1e-6
    width = np.linalg.norm(rows, axis=0, keepdims=True) + 1e-6
    return h, length, h / length, width, rows / width, (h / length) @ (rows / width)


def train(rng, drawn, tables, annotated, steps, hidden=48, batch=512):
    """Null BCE by Adam: a pixel's loss is over the classes of its own source."""
    k = annotated.shape[1]
    labels = np.concatenate([tables[s][c] for s, pictures in drawn.items() for c, _ in pictures])
    x = np.concatenate([f for pictures in drawn.values() for _, f in pictures])
    sizes = [sum(len(c) for c, _ in pictures) for pictures in drawn.values()]
    mask = np.repeat(annotated, sizes, axis=0)
    x, mask, labels = x[labels >= 0], mask[labels >= 0], labels[labels >= 0]
    net = [rng.normal(size=(DIMENSIONS, hidden)) / np.sqrt(DIMENSIONS), np.zeros(hidden), rng.normal(size=(hidden, k))]
    first, second = [np.zeros_like(p) for p in net], [np.zeros_like(p) for p in net]
    for step in range(1, steps + 1):
        at = rng.integers(0, len(x), batch)
        h, length, unit, width, rows, cosines = forward(net, x[at])
        p = 1 / (1 + np.exp(-SCALE * cosines))
        g = (p - (labels[at][:, None] == np.arange(k))) * mask[at] * SCALE / batch
        g_unit, g_rows = g @ rows.T, unit.T @ g
        g_h = (g_unit - unit * (g_unit * unit).sum(axis=1, keepdims=True)) / length * (h > 0)
        grads = [x[at].T @ g_h, g_h.sum(axis=0), (g_rows - rows * (g_rows * rows).sum(axis=0, keepdims=True)) / width]
        for i, grad in enumerate(grads):
            first[i] = 0.9 * first[i] + 0.1 * grad
            second[i] = 0.99 * second[i] + 0.01 * grad**2
            move = first[i] / (1 - 0.9**step) / (np.sqrt(second[i] / (1 - 0.99**step)) + 1e-8)
            net[i] = net[i] - 0.02 * (1 - step / (steps + 1)) * move
    return net


def perfect(shares_of: dict[str, dict[str, float]], frequencies: tuple[float, float] = (1.0, 1.0)) -> Evidence:
    """Two sources, "fine" and "coarse", and a net that answers without a mistake.

    `shares_of`: fine class -> {coarse class: share of its pixels}. All fine classes are equally frequent in "fine";
    in "coarse" their frequency rises by `frequencies`, from the first class to the last.
    """
    fine, coarse = list(shares_of), sorted({k for row in shares_of.values() for k in row})
    names = [*fine, *coarse]
    joint = np.array([[shares_of[c].get(k, 0.0) for k in coarse] for c in fine])
    there = joint * np.linspace(*frequencies, len(fine))[:, None]
    annotated = np.array([[n in fine for n in names], [n in coarse for n in names]])
    n, m = len(fine), len(names)
    pixels, answers = np.zeros((1, 2, m), np.int64), np.zeros((1, 2, m, 2, m))
    pixels[0, 0, :n], pixels[0, 1, n:] = 100_000, np.rint(100_000 * there.sum(axis=0))
    answers[0, 0, :n, 0, :n], answers[0, 1, n:, 1, n:] = np.eye(n), np.eye(m - n)
    answers[0, 0, :n, 1, n:] = joint
    answers[0, 1, n:, 0, :n] = (there / there.sum(axis=0)).T
    sums = np.rint(answers * pixels[..., None, None] * UNIT).astype(np.int64)
    cosines = 0.3 * np.where(np.eye(m), 1.0, answers.max(axis=3)) * (pixels > 0)[..., None]  # as sure as it is right
    scores = np.rint(cosines * pixels[..., None] * UNIT).astype(np.int64)
    return Evidence(tuple(names), ("fine", "coarse"), annotated, pixels, pixels * 0, scores, sums, {})


@pytest.mark.parametrize("frequencies", [(1, 1), (0.2, 3)])
def test_a_net_without_mistakes_gives_the_true_shares(frequencies):
    shares = {"a": {"x": 1.0}, "b": {"x": 0.7, "y": 0.3}, "c": {"y": 1.0}, "d": {"z": 1.0}}
    found = {(e.label, e.related): e.share for e in calibrated(perfect(shares, frequencies)).estimates}
    for label, row in shares.items():
        for related in "xyz":
            assert found[label, related] == pytest.approx(row.get(related, 0), abs=0.01), (label, related)


def test_types_follow_from_both_directions():
    shares = {"a": {"x": 1.0}, "b": {"x": 0.7, "y": 0.3}, "c": {"y": 1.0}, "d": {"z": 1.0}}
    found = calibrated(perfect(shares))
    assert {(e.label, e.related): e.type for e in found.edges} == {
        ("a", "x"): "narrower", ("x", "a"): "broader",
        ("b", "x"): "overlaps", ("x", "b"): "overlaps",
        ("b", "y"): "overlaps", ("y", "b"): "overlaps",
        ("c", "y"): "narrower", ("y", "c"): "broader",  # 0.77 of y is c
        ("d", "z"): "equal", ("z", "d"): "equal",
    }  # fmt: skip
    targets = [(e.label, e.related) for e in found.edges if e.is_target]
    assert targets == [("a", "x"), ("c", "y"), ("d", "z"), ("z", "d")]
    assert all((e.low, e.high) == (None, None) for e in found.estimates), "one fold gives no interval"


def test_confusion_of_the_net_is_taken_out():
    """The net calls 40 % of x's pixels y, in the space of both: what it says is 0.6, the share is 1."""
    evidence = perfect({"a": {"x": 1.0}, "b": {"y": 1.0}})
    mix = np.eye(4)
    mix[2, 2:] = 0.6, 0.4
    answers = evidence.answers.copy()
    answers[:, :, :, 1] = np.rint(evidence.answers[:, :, :, 1] @ mix).astype(np.int64)
    found = {(e.label, e.related): e for e in calibrated(dataclasses.replace(evidence, answers=answers)).estimates}
    assert found["a", "x"].told == pytest.approx(0.6)
    assert found["a", "x"].share > 0.98
    assert found["b", "y"].share > 0.98


def test_it_needs_answers():
    evidence = dataclasses.replace(perfect({"a": {"x": 1.0}}), answers=None)
    with pytest.raises(UnifyError, match=r"usage.*needs the net's answers.*--rule paper") as e:
        calibrated(evidence)
    assert e.value.exit_code == 2


def test_a_source_without_pixels_and_a_lone_source_give_no_edges():
    empty = Evidence.empty(["a", "b"], ["one", "two"], np.ones((2, 2), bool))
    assert calibrated(empty).edges == ()
    alone = Evidence.empty(["a", "b"], ["one"], np.ones((1, 2), bool))
    alone = alone.add("one", "x", np.array([0, 1]), np.eye(2), np.eye(2))
    assert calibrated(alone).estimates == ()


#: seeds that had no part in choosing the form of the score and its threshold
SEEDS = (20, 21, 22)


@pytest.mark.parametrize(("steps", "least_ap", "least_f1"), [(60, 0.88, 0.74), (300, 0.97, 0.92)])
def test_it_finds_what_is_true_and_more_than_the_paper_does(steps, least_ap, least_f1):
    """Mean over seeds. 60 steps leave the net far from trained. Every world is harder than its mean now and then."""
    figures = []
    for seed in SEEDS:
        world = make_world(seed, steps)
        ours, theirs = (score(rule(world.evidence), world.shares).all for rule in (calibrated, paper))
        figures.append((ours.average_precision, ours.f1, theirs.average_precision, theirs.f1))
    ours_ap, ours_f1, paper_ap, paper_f1 = np.mean(figures, axis=0)
    assert ours_ap > least_ap and ours_f1 > least_f1, figures
    assert ours_ap > paper_ap + 0.1 and ours_f1 > paper_f1 + 0.1, figures


def test_estimates_are_near_the_true_shares():
    world = make_world(20, 300)
    names, sources = world.evidence.classes, world.evidence.sources
    off, covered = [], []
    for e in calibrated(world.evidence).estimates:
        true = world.shares[e.source, e.other][names.index(e.label), names.index(e.related)]
        off.append(abs(e.share - true))
        covered.append(e.low - 0.02 <= true <= e.high + 0.02)
        assert 0 <= e.low <= e.share <= e.high <= 1 and 0 <= e.score <= e.share
    assert len(sources) == 3 and np.mean(off) < 0.02
    assert np.mean(covered) > 0.9, "the intervals do not know of pixels that are void elsewhere"


def test_shares_of_a_label_sum_to_one_for_every_other_source():
    totals: dict[tuple[str, str, str], float] = {}
    for e in calibrated(make_world(20, 300).evidence).estimates:
        totals[e.source, e.label, e.other] = totals.get((e.source, e.label, e.other), 0) + e.share
    assert totals and all(total == pytest.approx(1) for total in totals.values())


def test_the_order_of_sources_does_not_matter():
    evidence = make_world(21, 60).evidence
    order = [2, 0, 1]
    turned = dataclasses.replace(
        evidence,
        sources=tuple(evidence.sources[i] for i in order),
        annotated=evidence.annotated[order],
        pixels=evidence.pixels[:, order],
        images=evidence.images[:, order],
        scores=evidence.scores[:, order],
        answers=evidence.answers[:, order][:, :, :, order],
    )

    def shares(found):
        return {(e.source, e.label, e.other, e.related): round(e.share, 9) for e in found.estimates}

    assert shares(calibrated(evidence)) == shares(calibrated(turned))


def test_the_interval_is_the_jackknife_over_folds():
    evidence = make_world(21, 60).evidence
    folds = np.flatnonzero(evidence.pixels.sum(axis=(1, 2)))
    assert len(folds) == 8
    left_out: dict[tuple[str, ...], list[float]] = {}
    for fold in folds:
        kept = [f for f in folds if f != fold]
        parts = {name: getattr(evidence, name)[kept] for name in ("pixels", "images", "scores", "answers")}
        for e in calibrated(dataclasses.replace(evidence, **parts)).estimates:
            left_out.setdefault((e.source, e.label, e.other, e.related), []).append(e.share)
    checked = 0
    for e in calibrated(evidence).estimates:
        values = left_out.get((e.source, e.label, e.other, e.related), [])
        if len(values) == 8:
            half = 2.36 * (7 / 8 * sum((v - sum(values) / 8) ** 2 for v in values)) ** 0.5
            assert (e.low, e.high) == pytest.approx((max(0, e.share - half), min(1, e.share + half)), abs=1e-9)
            checked += half > 0.01
    assert checked > 50

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
from unify.relations import learner
from unify.relations.evidence import UNIT, Evidence, Void
from unify.relations.learner import calibrated, couple
from unify.relations.rules import paper
from unify.relations.score import score

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
    shares = {"a": {"x": 1.0}, "b": {"x": 0.6, "y": 0.4}, "c": {"y": 1.0}, "d": {"z": 1.0}}
    found = calibrated(perfect(shares))
    assert {(e.label, e.related): e.type for e in found.edges} == {
        ("a", "x"): "narrower", ("x", "a"): "broader",
        ("b", "x"): "overlaps", ("x", "b"): "overlaps",
        ("b", "y"): "overlaps", ("y", "b"): "overlaps",
        ("c", "y"): "narrower", ("y", "c"): "broader",  # 0.71 of y is c
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


def test_mistakes_made_in_both_spaces_are_taken_out():
    """The net takes 45 % of a's pixels for b's, whichever space it answers in: it says 0.55, and the share is 1."""
    evidence = perfect({"a": {"x": 1.0}, "b": {"y": 1.0}, "c": {"z": 1.0}})
    a, b, x, y = (evidence.classes.index(name) for name in "abxy")
    answers = evidence.answers.copy()
    for space, right, wrong in ((0, a, b), (1, x, y)):
        moved = answers[0, 0, a, space, right] * 45 // 100
        answers[0, 0, a, space, right] -= moved
        answers[0, 0, a, space, wrong] += moved
    found = {(e.label, e.related): e for e in calibrated(dataclasses.replace(evidence, answers=answers)).estimates}
    assert found["a", "x"].told == pytest.approx(0.55)
    assert found["a", "x"].share > 0.95
    assert found["b", "y"].share > 0.98


def channels(seed: int, before: float, after: float) -> tuple[Evidence, np.ndarray]:
    """Five classes of "fine" and three of "coarse", in which each has one name; and T.

    Of the answers in the other space a share `before` of mistakes is made in both spaces, `after` in that space alone.
    """
    rng = np.random.default_rng(seed)
    n, m = 5, 3
    t = np.eye(m)[[0, 0, 1, 1, 2]]
    frequent = rng.dirichlet(np.full(n, 5))
    there = frequent @ t
    u = (frequent[:, None] * t / there).T

    def mistaken(size: int, share: float) -> np.ndarray:
        return (1 - share) * np.eye(size) + share * rng.dirichlet(np.full(size, 0.7), size)

    own, other = mistaken(n, before), mistaken(m, after)
    q = own @ t @ other
    c_o = u @ own @ t @ other  # what the net says of coarse's pixels is made of what it says of their parts
    back = u @ own
    answers = np.zeros((1, 2, n + m, 2, n + m))
    answers[0, 0, :n, 0, :n], answers[0, 0, :n, 1, n:] = own, q
    answers[0, 1, n:, 1, n:], answers[0, 1, n:, 0, :n] = c_o, back
    pixels = np.zeros((1, 2, n + m), np.int64)
    pixels[0, 0, :n], pixels[0, 1, n:] = np.rint(1e6 * frequent), np.rint(1e6 * there)
    names = [f"fine {c}" for c in range(n)] + [f"coarse {k}" for k in range(m)]
    annotated = np.array([[name.startswith(s) for name in names] for s in ("fine", "coarse")])
    sums = np.rint(answers * pixels[..., None, None] * UNIT).astype(np.int64)
    scores = np.zeros((1, 2, n + m, n + m), np.int64)
    return Evidence(tuple(names), ("fine", "coarse"), annotated, pixels, pixels, scores, sums, {}), t


@pytest.mark.parametrize(("before", "after"), [(0.0, 0.0), (0.6, 0.0), (0.0, 0.6), (0.4, 0.4)])
def test_shares_are_nearer_to_the_truth_than_what_the_net_says(before, after):
    off, told_off = [], []
    for seed in range(8):
        evidence, t = channels(seed, before, after)
        pixels, answers = evidence.total("pixels"), evidence.total("answers")
        found = couple(evidence, 0, 1, pixels, answers)[0][:5, 5:]
        told = answers[0, :5, 1, 5:] / UNIT / pixels[0, :5, None]
        off.append(abs(found - t).mean())
        told_off.append(abs(told - t).mean())
    assert np.mean(off) < 0.02 + 0.4 * np.mean(told_off), (np.mean(off), np.mean(told_off))


def test_the_fit_is_that_of_the_equations_in_loops():
    """One pixel of a label is answered k in o's space by way of T: from what was believed in i's space (weight w), or
    from k' that is mistaken for k. Cell by cell, as a mixture is fitted."""
    evidence = make_world(22, 60, images=6).evidence
    pixels, answers = evidence.total("pixels"), evidence.total("answers")
    found, back = couple(evidence, 0, 1, pixels, answers)
    mine, theirs = ([k for k in range(len(evidence.classes)) if pixels[s, k]] for s in (0, 1))
    expected, expected_back = couple_in_loops(evidence, mine, theirs, pixels, answers)
    np.testing.assert_allclose(found[np.ix_(mine, theirs)], expected, atol=1e-7)
    np.testing.assert_allclose(back[np.ix_(theirs, mine)], expected_back, atol=1e-7)


def seen_with_void(evidence: Evidence, told: float, seed: int = 0) -> Evidence:
    """As if the net had answered void, too: a share of each label's answers, and `told` of void's own."""
    rng = np.random.default_rng(seed)
    f, s, k = evidence.pixels.shape
    share = rng.uniform(0, 0.3, (s, k, s, 1))
    pixels = rng.integers(50, 200, (f, s))
    own = rng.dirichlet(np.ones(k), (f, s, s)) * evidence.annotated
    own *= (1 - told) / own.sum(axis=-1, keepdims=True)
    answers = np.rint(evidence.answers * (1 - share)).astype(np.int64)
    void = Void(pixels, np.rint(own * pixels[..., None, None] * UNIT).astype(np.int64))
    return dataclasses.replace(evidence, answers=answers, void=void)


def test_the_fit_with_void_is_that_of_one_class_more():
    evidence = seen_with_void(make_world(22, 60, images=6).evidence, 0.7)
    pixels, answers = evidence.totals_with_void()
    mine, theirs = ([k for k in range(pixels.shape[1]) if pixels[s, k]] for s in (0, 1))
    assert mine[-1] == theirs[-1] == len(evidence.classes)
    found, back = couple(evidence, 0, 1, pixels, answers)
    nobodys = dataclasses.replace(evidence, void=None)
    object.__setattr__(nobodys, "annotated", np.pad(evidence.annotated, ((0, 0), (0, 1))))
    expected, expected_back = couple_in_loops(nobodys, mine, theirs, pixels, answers)
    np.testing.assert_allclose(found[np.ix_(mine, theirs)], expected, atol=1e-7)
    np.testing.assert_allclose(back[np.ix_(theirs, mine)], expected_back, atol=1e-7)


def test_with_void_a_half_of_the_score_is_pooled_and_without_three_quarters(monkeypatch):
    plain = make_world(22, 60, images=6).evidence
    for evidence, part in ((plain, 0.75), (seen_with_void(plain, 0.7), 0.5)):
        found = calibrated(evidence).estimates
        with monkeypatch.context() as patch:
            for name in ("_POOLED", "_POOLED_WITH_VOID"):
                patch.setattr(learner, name, 0.0)
            own = {(e.source, e.label, e.other, e.related): e.score for e in calibrated(evidence).estimates}
        for e in found:
            same = [v for (_, label, _, related), v in own.items() if (label, related) == (e.label, e.related)]
            expected = (1 - part) * own[e.source, e.label, e.other, e.related] + part * sum(same) / len(same)
            assert e.score == pytest.approx(expected)


def test_what_the_other_source_leaves_void_is_no_relation():
    """Class c of "fine" is void in "coarse", whose net answers x or void by halves when it sees void, and says so of
    its own void too. Without being told of void, the rule takes c for x."""
    names, annotated = ("a", "c", "x", "y"), np.array([[1, 1, 0, 0], [0, 0, 1, 1]], bool)
    pixels = np.array([[[1000, 1000, 0, 0], [0, 0, 1000, 1000]]])
    answers = np.zeros((1, 2, 4, 2, 4))
    answers[0, 0, 0, 0, 0] = answers[0, 0, 1, 0, 1] = answers[0, 1, 2, 1, 2] = answers[0, 1, 3, 1, 3] = 1000
    answers[0, 0, 0, 1, 3] = 1000  # a is y
    answers[0, 0, 1, 1, 2] = 500  # c is void, and half taken for x
    answers[0, 1, 3, 0, 0] = 1000
    void_answers = np.zeros((1, 2, 2, 4))
    void_answers[0, 1, 0, 1] = 1000  # what "coarse" leaves void is c
    void_answers[0, 1, 1, 2] = 500
    sums = np.rint(answers * UNIT).astype(np.int64)
    void = Void(np.array([[1000, 1000]]), np.rint(void_answers * UNIT).astype(np.int64))
    scores = np.zeros((1, 2, 4, 4), np.int64)
    told = Evidence(names, ("fine", "coarse"), annotated, pixels, pixels, scores, sums, {}, void)
    alone = sums.copy()
    alone[0, 0, 1, 1, 2], alone[0, 1, 2, 0, :2] = 1000 * UNIT, 500 * UNIT
    untold = dataclasses.replace(told, answers=alone, void=None)

    def found(evidence):
        return {(e.label, e.related) for e in calibrated(evidence).estimates if e.is_edge and e.source == "fine"}

    assert found(told) == {("a", "y")} and found(untold) == {("a", "y"), ("c", "x")}
    share = next(e.share for e in calibrated(told).estimates if (e.label, e.related) == ("c", "x"))
    assert share < 0.1


def couple_in_loops(evidence, mine, theirs, pixels, answers):
    def mean(s, label, space, k):
        return answers[s, label, space, k] / UNIT / pixels[s, label] + 1e-9

    def normal(row):
        total = sum(row)
        return [v / total for v in row]

    def turned(rows):
        return [list(column) for column in zip(*rows, strict=True)]

    def heard(t, w, q, before, after):
        new, weights = [[0.0] * len(q[0]) for _ in t], []
        for r in range(len(q)):
            shared_part = apart_part = 0.0
            for k in range(len(q[0])):
                shared = [before[r][c] * t[c][k] for c in range(len(t))]
                apart = [t[r][d] * after[d][k] for d in range(len(t[0]))]
                chance = w[r] * sum(shared) + (1 - w[r]) * sum(apart)
                for c, part in enumerate(shared):
                    new[c][k] += q[r][k] * w[r] * part / chance
                for d, part in enumerate(apart):
                    new[r][d] += q[r][k] * (1 - w[r]) * part / chance
                shared_part += q[r][k] * w[r] * sum(shared) / chance
                apart_part += q[r][k] * (1 - w[r]) * sum(apart) / chance
            weights.append(shared_part / (shared_part + apart_part))
        return [normal(row) for row in new], weights

    p_i, p_o = (normal([int(pixels[s, k]) for k in own]) for s, own in ((0, mine), (1, theirs)))
    c_i, c_o = ([[mean(s, r, s, k) for k in own] for r in own] for s, own in ((0, mine), (1, theirs)))
    q_io = [[mean(0, c, 1, k) for k in theirs] for c in mine]
    q_oi = [[mean(1, k, 0, c) for c in mine] for k in theirs]
    known = evidence.annotated
    guess = [
        [p_i[a] * p_o[b] * (1.0 if c == k or not (known[0, k] or known[1, c]) else 0.1) for b, k in enumerate(theirs)]
        for a, c in enumerate(mine)
    ]
    for _ in range(50):
        guess = [[v * p / sum(row) for v in row] for row, p in zip(guess, p_i, strict=True)]
        guess = turned([[v * p / sum(col) for v in col] for col, p in zip(turned(guess), p_o, strict=True)])
    t0, u0 = [normal(row) for row in guess], [normal(col) for col in turned(guess)]
    t, u, w_t, w_u = t0, u0, [0.5] * len(mine), [0.5] * len(theirs)
    for _ in range(100):
        t_heard, w_t = heard(t, w_t, q_io, c_i, c_o)
        u_heard, w_u = heard(u, w_u, q_oi, c_o, c_i)
        t_other = [normal(col) for col in turned([[v * p for v in row] for row, p in zip(u_heard, p_o, strict=True)])]
        u_other = [normal(col) for col in turned([[v * p for v in row] for row, p in zip(t_heard, p_i, strict=True)])]
        t, u = (
            [normal([h + 0.2 * o + 1e-3 * g for h, o, g in zip(*rows, strict=True)]) for rows in zip(*of, strict=True)]
            for of in ((t_heard, t_other, t0), (u_heard, u_other, u0))
        )
    return t, u


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
        assert 0 <= e.low <= e.share <= e.high <= 1 and 0 <= e.score <= 1
    assert len(sources) == 3 and np.mean(off) < 0.02
    assert np.mean(covered) > 0.9, "the intervals do not know of pixels that are void elsewhere"


def test_shares_of_a_label_sum_to_one_for_every_other_source():
    totals: dict[tuple[str, str, str], float] = {}
    for e in calibrated(make_world(20, 300).evidence).estimates:
        totals[e.source, e.label, e.other] = totals.get((e.source, e.label, e.other), 0) + e.share
    assert totals and all(total == pytest.approx(1) for total in totals.values())


def test_three_quarters_of_a_score_are_its_mean_over_sources_with_these_names():
    """Of coarse g0 and fine g0.a, and so on: each pair of sources has the share, sharpened by a power of 1.5 and
    discounted; these are pooled by names."""
    world = make_world(21, 300)
    evidence, means = world.evidence, world.evidence.mean_scores()
    names, sources = evidence.classes, evidence.sources
    alone: dict[tuple[str, str], dict[tuple[str, str], float]] = {}
    found = calibrated(evidence).estimates
    powers: dict[tuple[str, str, str], float] = {}
    for e in found:
        powers[e.source, e.label, e.other] = powers.get((e.source, e.label, e.other), 0) + e.share**1.5
    for e in found:
        s, c, k = sources.index(e.source), names.index(e.label), names.index(e.related)
        discount = min(1, 2 / (1 + np.exp(-6 * (means[s, c, k] - means[s, c, c]))))
        alone.setdefault((e.label, e.related), {})[e.source, e.other] = (
            e.share**1.5 / powers[e.source, e.label, e.other] * discount
        )
    assert {len(scores) for scores in alone.values()} >= {1, 2, 3}
    for e in found:
        scores = alone[e.label, e.related]
        expected = scores[e.source, e.other] / 4 + 3 / 4 * sum(scores.values()) / len(scores)
        assert e.score == pytest.approx(expected)


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

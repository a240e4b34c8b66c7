"""The calibrated rule: how much of a source's class would another source's annotators call k?

The net's answer is that share seen through the net's own mistakes. Let T[c, k] be the share of pixels labelled c by
source i that source o would call k, C_o[k, k'] how often the net, answering in o's space, says k' for o's own pixels
of k (there the truth is known), C_i the same for i, and Q[c, k] the mean answer in o's space over i's pixels of c.
There are two ways to be wrong, and an account of Q for each:

    Q = C_i T    the mistake is made before the spaces part: who takes a pole for a building does so in both
    Q = T C_o    the mistake is made in o's space alone

Nets do both. So each label's answers are a mixture of the two, Q[c] = w_c (C_i T)[c] + (1 - w_c) (T C_o)[c], and T
and w are fitted together by expectation maximisation (a non-negative inverse of the channel; the second account alone
is known from label shift: Saerens et al., Neural Computation 2002). Each step adds, with less weight, what U, the
shares from o to i, fitted likewise, makes of the cells when scaled to o's class frequencies: containment is estimated
in both directions and should agree, and a rare class cannot swallow a frequent one. Sources may have different
frequencies; what c and k mean is taken as fixed.

For the score of "c is also k" the share is sharpened, as mistakes that neither account explains spread over all
classes, and has a discount where the net likes c itself better than k on c's pixels:

    T[c, k]^1.5 / sum_k' T[c, k']^1.5 * min(1, 2 sigmoid(6 (s_ck - s_cc)))     s: mean cosines, as in the paper's rule

A class that holds all of c has learnt c's pixels too and scores no worse on them. That the paper asks for as a
must; alone, it fails for classes that the net has barely learnt (measured: tests/test_relations_learner.py).
A quarter of the score is this value, the rest its mean over all pairs of sources with classes of these names: mostly
they mean much the same by them, and each has other mistakes in it. Where the evidence tells of void, whose answers
are better, it is a half. Shares are not pooled.

Pixels that source o leaves void are one more class of o's, without a name, where the evidence tells of them
(`trainers.refit`). A sweep of the net alone cannot: no loss ever told it what they are, so shares are of what o
labels. Either way it needs answers and a cosine-like score, which only a net gives; mean cosines alone do not do.
"""

from __future__ import annotations

import dataclasses
from itertools import combinations

import numpy as np

from unify.errors import error
from unify.relations.evidence import UNIT, Evidence, Floats, Ints
from unify.relations.rules import Edge, Estimate, Relations, Type

THRESHOLD = 0.5  #: of the score; chosen on CamVid deals and made-up worlds, see the tests
EQUAL = 0.9  #: the least share, in either direction, of two equal classes
OVERLAP = 0.25  #: the least share, of either class, that is worth an "overlaps"
_SHARPNESS = 1.5  # power of the shares in the score; 1 leaves them as they are
_SLOPE = 6.0  # per unit of cosine
_POOLED = 0.75  # part of the score that is a mean over pairs of sources
_POOLED_WITH_VOID = 0.5  # the same where the evidence tells of void
_STEPS = 100
_OTHER = 0.2  # weight of what the other direction makes of the cells, beside the evidence's 1
_PRIOR = 1e-3  # weight of the first guess
_ODD_NAME = 0.1  # first guess, relative: c is k although c's source uses the name k, or o the name c, for something
_T_VALUES = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)  # two-sided 95 %, 1.. degrees of freedom
_TINY = 1e-9


def calibrated(evidence: Evidence, threshold: float = THRESHOLD) -> Relations:
    """Relations from pooled, two-sided estimates of shares.

    Every ordered pair (class c of a source, class k of another) gets an `Estimate`; the interval is a jackknife
    over folds (95 %), None with fewer than two folds; it knows of chance in the choice of images, not of what the
    net has learnt wrong. A pair is an edge if the score reaches `threshold`, unless k would also be c and c has the
    smaller share, below 0.9: then c is the broader one. Over all other sources, (source, c, k) goes by the one whose
    annotators are surest to say k: equal if both directions are edges, narrower if the forward one is, broader if
    only the backward one is, and overlaps where at least a quarter of either class is the other.

    Raises `UnifyError` (usage) for evidence without answers.
    """
    if evidence.answers is None:
        what = "the calibrated rule needs the net's answers in each source's label space, and there are none"
        raise error("usage", "evidence of relations", what, "sweep a net with --from-model, or take --rule paper")
    shares = _shares(evidence)
    errors = _standard_errors(evidence)
    pooled = _POOLED if evidence.void is None else _POOLED_WITH_VOID
    estimates = _judged(_pooled(_estimates(evidence, shares, errors), pooled), threshold)
    edges = tuple(_edges(evidence, estimates))
    return Relations("calibrated", {"threshold": threshold}, evidence, edges, estimates)


Shares = dict[tuple[int, int], Floats]  # (source, other) -> (K, K): share of the label's pixels


def _shares(evidence: Evidence) -> Shares:
    """Of classes; what is missing to 1 the other source would leave void."""
    pixels, answers = evidence.totals_with_void()
    k = len(evidence.classes)
    found: Shares = {}
    for i, o in combinations(range(len(evidence.sources)), 2):
        found[i, o], found[o, i] = (share[:k, :k] for share in couple(evidence, i, o, pixels, answers))
    return found


def couple(evidence: Evidence, i: int, o: int, pixels: Ints, answers: Ints) -> tuple[Floats, Floats]:
    """T and U of the module's head for sources i and o: (K, K) float64 each, rows sum to 1, or are 0 where the
    class is not annotated or has no pixels. One row and column more, for void, where `pixels` (S, K + 1) and
    `answers` (S, K + 1, S, K + 1) have them."""
    mine, theirs = np.flatnonzero(pixels[i] > 0), np.flatnonzero(pixels[o] > 0)
    k = pixels.shape[1]
    there, back = np.zeros((k, k)), np.zeros((k, k))
    if not len(mine) or not len(theirs):
        return there, back

    def told(s: int, rows: Ints, space: int, columns: Ints) -> Floats:
        return np.asarray(answers[s, rows, space][:, columns] / UNIT / pixels[s, rows][:, None] + _TINY)

    q_io, q_oi = told(i, mine, o, theirs), told(o, theirs, i, mine)
    c_o, c_i = told(o, theirs, o, theirs), told(i, mine, i, mine)
    p_i, p_o = pixels[i, mine] / pixels[i].sum(), pixels[o, theirs] / pixels[o].sum()
    guess = _first_guess(evidence, i, o, mine, theirs) * np.outer(p_i, p_o)
    for _ in range(50):  # to both sources' frequencies (Sinkhorn)
        guess *= (p_i / guess.sum(axis=1))[:, None]
        guess *= p_o / guess.sum(axis=0)
    t_guess, u_guess = _rows_to_one(guess), _rows_to_one(guess.T)
    t, u = t_guess, u_guess
    w_t, w_u = np.full((len(mine), 1), 0.5), np.full((len(theirs), 1), 0.5)
    for _ in range(_STEPS):
        t_heard, w_t = _heard(t, w_t, q_io, c_i, c_o)
        u_heard, w_u = _heard(u, w_u, q_oi, c_o, c_i)
        t_other, u_other = _rows_to_one((p_o[:, None] * u_heard).T), _rows_to_one((p_i[:, None] * t_heard).T)
        t = _rows_to_one(t_heard + _OTHER * t_other + _PRIOR * t_guess)
        u = _rows_to_one(u_heard + _OTHER * u_other + _PRIOR * u_guess)
    there[np.ix_(mine, theirs)] = t
    back[np.ix_(theirs, mine)] = u
    return there, back


def _heard(t: Floats, w: Floats, q: Floats, before: Floats, after: Floats) -> tuple[Floats, Floats]:
    """One step of expectation maximisation: T, its rows summing to 1, and w of the module's head, (rows, 1).

    `before`, `after`: how the net confuses the row's classes, and the column's.
    """
    shared, apart = before @ t, t @ after
    ratio = q / (w * shared + (1 - w) * apart)
    heard = t * (before.T @ (w * ratio) + ((1 - w) * ratio) @ after.T)
    by_shared = (w * shared * ratio).sum(axis=1, keepdims=True)
    by_apart = ((1 - w) * apart * ratio).sum(axis=1, keepdims=True)
    return _rows_to_one(heard), np.asarray(by_shared / (by_shared + by_apart))


def _first_guess(evidence: Evidence, i: int, o: int, mine: Ints, theirs: Ints) -> Floats:
    """Before any evidence: what is called the same may be the same; a name in use elsewhere is less likely."""
    named = np.pad(evidence.annotated, ((0, 0), (0, 1)))  # void is nobody's name
    odd = named[i, theirs][None, :] | named[o, mine][:, None]
    return np.where((mine[:, None] == theirs) | ~odd, 1.0, _ODD_NAME)


def _rows_to_one(values: Floats) -> Floats:
    return np.asarray(values / np.maximum(values.sum(axis=1, keepdims=True), 1e-300))


def _standard_errors(evidence: Evidence) -> Shares | None:
    """Of the shares, by leaving out one fold of images after another; None if there are not two with pixels."""
    filled = np.flatnonzero(evidence.pixels.sum(axis=(1, 2)))
    n = len(filled)
    if n < 2:
        return None
    parts = [_shares(evidence.of_folds(np.arange(len(evidence.pixels)) != fold)) for fold in filled]
    errors = {}
    for pair in parts[0]:
        values = np.stack([part[pair] for part in parts])
        errors[pair] = np.sqrt((n - 1) / n * ((values - values.mean(axis=0)) ** 2).sum(axis=0))
        errors[pair] *= _T_VALUES[n - 2] if n - 2 < len(_T_VALUES) else 2.0
    return errors


def _estimates(evidence: Evidence, shares: Shares, errors: Shares | None) -> list[Estimate]:
    pixels, answers, means = evidence.total("pixels"), evidence.total("answers"), evidence.mean_scores()
    names, found = evidence.classes, []
    for (i, o), share in sorted(shares.items()):
        void = np.maximum(1 - share.sum(axis=1, keepdims=True), 0)
        sharp = share**_SHARPNESS / ((share**_SHARPNESS).sum(axis=1, keepdims=True) + void**_SHARPNESS)
        for c in np.flatnonzero(pixels[i] > 0):
            for k in np.flatnonzero(pixels[o] > 0):
                value = float(share[c, k])
                margin = None if errors is None else float(errors[i, o][c, k])
                discount = min(1.0, 2 / (1 + np.exp(-_SLOPE * (means[i, c, k] - means[i, c, c]))))
                found.append(
                    Estimate(
                        source=evidence.sources[i],
                        label=names[c],
                        other=evidence.sources[o],
                        related=names[k],
                        pixels=int(pixels[i, c]),
                        told=float(answers[i, c, o, k] / UNIT / pixels[i, c]),
                        share=value,
                        low=None if margin is None else max(0.0, value - margin),
                        high=None if margin is None else min(1.0, value + margin),
                        back=float(shares[o, i][k, c]),
                        score=float(sharp[c, k] * discount),
                        is_edge=False,  # until all are there to be judged
                    )
                )
    return found


def _pooled(estimates: list[Estimate], part: float) -> list[Estimate]:
    """With scores of which `part` is the mean over all pairs of sources with classes of these names."""
    groups: dict[tuple[str, str], list[float]] = {}
    for e in estimates:
        groups.setdefault((e.label, e.related), []).append(e.score)
    means = {pair: float(np.mean(scores)) for pair, scores in groups.items()}
    return [dataclasses.replace(e, score=(1 - part) * e.score + part * means[e.label, e.related]) for e in estimates]


def _judged(estimates: list[Estimate], threshold: float) -> tuple[Estimate, ...]:
    """With `is_edge`. Of two classes that would each be the other, one that is so for too few of its pixels is the
    broader, and has no edge."""
    by_pair = {(e.source, e.label, e.other, e.related): e for e in estimates}

    def is_edge(e: Estimate) -> bool:
        back = by_pair[e.other, e.related, e.source, e.label]
        is_broader = back.score >= threshold and e.share < min(EQUAL, back.share)
        return e.score >= threshold and not is_broader

    return tuple(dataclasses.replace(e, is_edge=is_edge(e)) for e in estimates)


def _edges(evidence: Evidence, estimates: tuple[Estimate, ...]) -> list[Edge]:
    by_pair = {(e.source, e.label, e.other, e.related): e for e in estimates}
    groups: dict[tuple[str, str, str], list[Estimate]] = {}
    for e in estimates:
        if e.label != e.related:
            groups.setdefault((e.source, e.label, e.related), []).append(e)
    edges = []
    for group in groups.values():
        forward = [e for e in group if e.is_edge]
        backward = [e for e in group if by_pair[e.other, e.related, e.source, e.label].is_edge]
        if forward:
            best = max(forward, key=lambda e: e.score)
            edges.append(_edge(evidence, best, "equal" if best in backward else "narrower"))
        elif backward:
            edges.append(_edge(evidence, max(backward, key=lambda e: e.back), "broader"))
        elif max(max(e.share, e.back) for e in group) >= OVERLAP:
            edges.append(_edge(evidence, max(group, key=lambda e: max(e.share, e.back)), "overlaps"))
    return edges


def _edge(evidence: Evidence, e: Estimate, kind: Type) -> Edge:
    s, c = evidence.sources.index(e.source), evidence.classes.index(e.label)
    own = evidence.total("answers")[s, c, s, c] / UNIT / evidence.total("pixels")[s, c]
    facts = (e.score, float(own), e.pixels, e.share, e.low, e.high, e.back)
    return Edge(e.source, e.label, e.related, kind, *facts)

"""Learnt relations against the truth: precision, recall, F1 and average precision.

The truth is known where the world is made up (`truth.json` of `unify sample`), or where one labelling was dealt to
several sources: a JSON file with

    {"cooccurrence": {first: {second: {a: {b: pixels}}}}}

how many pixels of the first one's images are a there and would be b in the second. With "spaces" (label space ->
source) the keys are raw label spaces and a, b raw classes, which the relations' taxonomy translates; without it they
are sources and classes themselves. A pixel that the second leaves void counts among a's pixels.

"Label c of a source is also k" is true where some other source would call at least `least` of its pixels k. Only
such can be judged: edges to a class that no other source annotates are counted apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unify.errors import error
from unify.mapping import load_mapping
from unify.relations.evidence import Floats
from unify.relations.rules import Relations
from unify.sources import SOURCES
from unify.spaces import VOID

LEAST = 0.9  #: share of pixels that makes a relation true

Shares = Mapping[tuple[str, str], Floats]  # (source, other) -> (K, K): share of the label's pixels; NaN without pixels
Rules = Mapping[str, Sequence[str]]  # raw class -> classes; () for void
Key = tuple[str, str, str]  # source, label, related


@dataclass(frozen=True, slots=True)
class Score:
    """Of the candidates of a pair of sources, or of all.

    `average_precision` ranks all candidates by the rule's own score, so no threshold plays a part; None where
    nothing is true. Precision is None without edges, recall where nothing is true.
    """

    candidates: int
    true: int
    edges: int
    right: int
    average_precision: float | None
    missed: tuple[Key, ...]
    wrong: tuple[Key, ...]

    @property
    def precision(self) -> float | None:
        return self.right / self.edges if self.edges else None

    @property
    def recall(self) -> float | None:
        return self.right / self.true if self.true else None

    @property
    def f1(self) -> float | None:
        return 2 * self.right / (self.edges + self.true) if self.edges + self.true else None

    def to_json(self) -> dict[str, Any]:
        names = ("precision", "recall", "f1", "average_precision", "candidates", "true", "edges", "right")
        found: dict[str, Any] = {name: getattr(self, name) for name in names}
        return found | {"missed": [list(k) for k in self.missed], "wrong": [list(k) for k in self.wrong]}


@dataclass(frozen=True, slots=True)
class Scores:
    """`all` over (source, label, related); `pairs` by (source, other).

    `unjudged`: edges that the truth is silent on.
    """

    least: float
    all: Score
    pairs: Mapping[tuple[str, str], Score]
    unjudged: tuple[Key, ...]

    def to_json(self) -> dict[str, Any]:
        pairs = [{"source": a, "other": b, **score.to_json()} for (a, b), score in self.pairs.items()]
        return {
            "least_share": self.least,
            "all": self.all.to_json(),
            "pairs": pairs,
            "unjudged": [list(k) for k in self.unjudged],
        }


def score(relations: Relations, shares: Shares, least: float = LEAST) -> Scores:
    """`relations` against the true shares. A candidate is a label of a source and another class, not of its name,
    that some other source annotates; of one pair of sources, that the other source annotates."""
    evidence = relations.evidence
    names, sources = evidence.classes, evidence.sources
    ranks, found = ranks_of(relations), found_by(relations)
    pairs: dict[tuple[str, str], Score] = {}
    best: dict[Key, float] = {}
    true: set[Key] = set()
    for source in sources:
        for other in sources:
            if (source, other) not in shares:
                continue
            share = shares[source, other]
            here = evidence.annotated[sources.index(source)][:, None] & evidence.annotated[sources.index(other)]
            at = np.argwhere(here & ~np.isnan(share) & ~np.eye(len(names), dtype=np.bool_)).tolist()
            keys = {(source, names[c], names[k]): bool(share[c, k] >= least) for c, k in at}
            rank = {key: ranks.get((*key, other), -np.inf) for key in keys}
            edges = {key for key in keys if (*key, other) in found}
            pairs[source, other] = _score(rank, {key for key, is_true in keys.items() if is_true}, edges)
            true |= {key for key, is_true in keys.items() if is_true}
            for key, value in rank.items():
                best[key] = max(best.get(key, -np.inf), value)
    targets = {(e.source, e.label, e.related) for e in relations.targets}
    unjudged = tuple(sorted(targets - best.keys()))
    return Scores(least, _score(best, true, targets & best.keys()), pairs, unjudged)


def ranks_of(relations: Relations) -> dict[tuple[str, str, str, str], float]:
    """(source, label, related, other) -> the rule's score; the paper's is by how much its first condition holds."""
    if relations.rule != "paper":
        return {(e.source, e.label, e.related, e.other): e.score for e in relations.estimates}
    evidence, means = relations.evidence, relations.evidence.mean_scores()
    names, pixels = evidence.classes, evidence.total("pixels")
    return {
        (source, names[c], names[k], other): float(means[s, c, k] - means[s, c, c])
        for s, source in enumerate(evidence.sources)
        for other in evidence.sources
        if other != source
        for c in np.flatnonzero(pixels[s])
        for k in range(len(names))
    }


def found_by(relations: Relations) -> set[tuple[str, str, str, str]]:
    """(source, label, related, other) of what the rule calls a relation with that source."""
    if relations.rule == "paper":
        others = relations.evidence.sources
        return {(e.source, e.label, e.related, other) for e in relations.targets for other in others}
    return {(e.source, e.label, e.related, e.other) for e in relations.estimates if e.is_edge}


def _score(rank: Mapping[Key, float], true: set[Key], edges: set[Key]) -> Score:
    precision = average_precision(list(rank.values()), [key in true for key in rank]) if true else None
    missed, wrong = tuple(sorted(true - edges)), tuple(sorted(edges - true))
    return Score(len(rank), len(true), len(edges), len(edges & true), precision, missed, wrong)


def average_precision(scores: Sequence[float], is_true: Sequence[bool]) -> float:
    """The mean, over what is true, of the precision at its score; equal scores are taken together. 0..1."""
    order = np.argsort(-np.asarray(scores), kind="stable")
    values, hits = np.asarray(scores)[order], np.asarray(is_true)[order]
    last = np.append(np.flatnonzero(values[:-1] != values[1:]), len(values) - 1)  # of each run of equal scores
    right = np.cumsum(hits)[last]
    return float((np.diff(right, prepend=0) * right / (last + 1)).sum() / hits.sum())


def read_truth(path: Path, relations: Relations) -> dict[tuple[str, str], Floats]:
    """The true shares in a file, for the sources of `relations` that it knows.

    Raises `UnifyError`: not-found, bad-artifact, or usage if it knows fewer than two of the sources.
    """
    try:
        truth = json.loads(path.read_bytes())
        table = truth["cooccurrence"]
        by_space = truth.get("spaces")
        sides: dict[str, tuple[str, Rules | None]]
        if by_space is None:
            sides = {source: (source, None) for source in relations.evidence.sources if source in table}
        else:
            sides = {s: found for s in relations.evidence.sources if (found := _side(relations, s, by_space))}
        if len(sides) < 2:
            what = f"knows {', '.join(sides) or 'none'} of {', '.join(relations.evidence.sources)}"
            raise error("usage", path, what, "give the truth of the images that the relations are from")
        return {
            (a, b): _shares(table[sides[a][0]][sides[b][0]], relations.evidence.classes, sides[a][1], sides[b][1])
            for a in sides
            for b in sides
            if a != b
        }
    except (FileNotFoundError, NotADirectoryError) as e:
        raise error("not-found", path, "no such file", "give a truth.json, as `unify sample` writes it") from e
    except OSError as e:
        raise error("bad-artifact", path, f"cannot be read: {e.strerror}", "check the file") from e
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        fix = 'it needs {"cooccurrence": {first: {second: {a: {b: pixels}}}}}'
        raise error("bad-artifact", path, f"is no truth about relations ({e!r})", fix) from e


def _side(relations: Relations, source: str, by_space: Mapping[str, str]) -> tuple[str, Rules] | None:
    """The raw label space that `source` was read in, and its rules to the relations' classes."""
    spaces = [space for space, owner in by_space.items() if owner == source]
    if relations.taxonomy is not None:
        mapping = relations.taxonomy.mappings[source]
        return (mapping.source.name, mapping.rules) if mapping.source.name in spaces else None
    for release in SOURCES[source].releases.values() if source in SOURCES else ():
        if release.space in spaces:
            mapping = load_mapping(release.space, release.train_space)
            if set(mapping.target.names) <= set(relations.evidence.classes):
                return release.space, mapping.rules
    return None


def _shares(
    table: Mapping[str, Mapping[str, int]], classes: Sequence[str], first: Rules | None, second: Rules | None
) -> Floats:
    """(K, K): share of the first's class that is the second's; NaN in rows without pixels. Sets count as void."""
    index = {name: i for i, name in enumerate(classes)}

    def of(rules: Rules | None, raw: str) -> int:
        names: Iterable[str] = (raw,) if rules is None else rules[raw]
        named = [index[name] for name in names if name in index]
        return named[0] if len(named) == 1 else VOID

    counts = np.zeros((VOID + 1, VOID + 1))
    for a, row in table.items():
        for b, pixels in row.items():
            if not isinstance(pixels, int) or pixels < 0:
                raise ValueError(f"{pixels!r} pixels of '{a}' and '{b}'")
            counts[of(first, a), of(second, b)] += pixels
    with np.errstate(invalid="ignore"):
        shares = counts / counts.sum(axis=1, keepdims=True)
    return np.asarray(shares[: len(classes), : len(classes)])

"""Relations between classes: what they are, and the paper's rule for finding them.

An edge (source, label, related) says: pixels that the source labels `label` are also `related`. It belongs to a
source, because the same name means different pixels in another one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from unify.errors import Problem, UnifyError
from unify.relations.evidence import Evidence

if TYPE_CHECKING:
    import networkx as nx

    from unify.taxonomy import Taxonomy

Type = Literal["equal", "narrower", "broader", "overlaps"]
TYPES: tuple[Type, ...] = ("equal", "narrower", "broader", "overlaps")
TARGETS: tuple[Type, ...] = ("equal", "narrower")  #: whose related class is a second target of training
TAU = -0.08  #: that gives the authors' own relations (HRNet-W18, cosine classifier without bias)


@dataclass(frozen=True, slots=True)
class Edge:
    """Pixels that `source` labels `label` are also `related`: all of them (equal, narrower) or some.

    `type`: the label is equal to the related class, narrower, broader (contains it), or overlaps with it.
    `score`, `own_score`: of the paper's rule the mean cosines s_cj and s_cc; of the calibrated rule the confidence
    0..1 and the share of the label's own pixels that the net calls so.
    `share`, `low`, `high`: estimated share 0..1 of the label's pixels that are `related`, and its interval; `back`:
    the share of the related class's pixels that are `label`. None where the rule does not estimate them.
    """

    source: str
    label: str
    related: str
    type: Type
    score: float
    own_score: float
    pixels: int
    share: float | None = None
    low: float | None = None
    high: float | None = None
    back: float | None = None

    @property
    def is_target(self) -> bool:
        """Whether training gives `related` to pixels of `label`, and the graph an edge."""
        return self.type in TARGETS

    def to_json(self) -> dict[str, Any]:
        """The six fields that every rule has."""
        return {name: getattr(self, name) for name in ("source", "label", "related", "score", "own_score", "pixels")}


@dataclass(frozen=True, slots=True)
class Estimate:
    """One ordered pair (label of source, related of other) of the calibrated rule, whether or not it is an edge.

    `told`: the share of the label's pixels that the net, answering in the other's space, calls `related`. `share`,
    `low`, `high`, `back`, `score` as in `Edge`. `is_edge`: whether the rule says that the label is also `related`.
    """

    source: str
    label: str
    other: str
    related: str
    pixels: int
    told: float
    share: float
    low: float | None
    high: float | None
    back: float
    score: float
    is_edge: bool


@dataclass(frozen=True, slots=True)
class Relations:
    """What a rule found in `evidence`: edges of all types, and (calibrated) the estimates behind them."""

    rule: str
    settings: Mapping[str, float]
    evidence: Evidence
    edges: tuple[Edge, ...]
    estimates: tuple[Estimate, ...] = ()
    taxonomy: Taxonomy | None = field(default=None, compare=False)

    @property
    def targets(self) -> tuple[Edge, ...]:
        """The edges that say "these are also": equal and narrower."""
        return tuple(e for e in self.edges if e.is_target)

    def sources_of(self, name: str) -> list[str]:
        """The sources that annotate a class."""
        k = self.evidence.classes.index(name)
        return [s for s, row in zip(self.evidence.sources, self.evidence.annotated, strict=True) if row[k]]


def paper(evidence: Evidence, tau: float = TAU) -> Relations:
    """UniSeg's rule (Kim et al., ECCV 2022), fitted to the authors' stored statistics without a miss.

    Class j is related to label c of source i if s^i_{c,j} > s^i_{c,c} and s^i_{c,j} > tau, s being the mean cosine
    over the source's pixels of c. Any class of the union may be related, several may, and also one that the source
    itself annotates. Of two labels that are related to each other in any source the type is equal, else narrower.
    """
    means, pixels = evidence.mean_scores(), evidence.total("pixels")
    own = np.diagonal(means, axis1=1, axis2=2)
    with np.errstate(invalid="ignore"):  # NaN where there are no pixels: greater than nothing
        found = np.argwhere((means > own[..., None]) & (means > tau)).tolist()
    names = evidence.classes
    both = {(c, j) for _, c, j in found} & {(j, c) for _, c, j in found}
    edges = [
        Edge(
            evidence.sources[s],
            names[c],
            names[j],
            "equal" if (c, j) in both else "narrower",
            float(means[s, c, j]),
            float(means[s, c, c]),
            int(pixels[s, c]),
        )
        for s, c, j in found
    ]
    return Relations("paper", {"tau": tau}, evidence, tuple(edges))


def relation_matrix(edges: Iterable[Edge], taxonomy: Taxonomy) -> NDArray[np.bool_]:
    """(S, K, K) bool for the class-relational BCE: [s, c, j] is True where a pixel that source s labels c also
    gets target 1 for class j. The diagonal is False; edges that are no targets (broader, overlaps) do not count.

    Raises `UnifyError` (usage) naming every source and class that the taxonomy lacks.
    """
    return matrix_of(edges, taxonomy.sources, taxonomy.space.names)


def matrix_of(edges: Iterable[Edge], sources: Sequence[str], classes: Sequence[str]) -> NDArray[np.bool_]:
    """`relation_matrix` by names alone."""
    edges = [e for e in edges if e.is_target]
    unknown = {f"source '{e.source}'" for e in edges if e.source not in sources}
    unknown |= {f"class '{name}'" for e in edges for name in (e.label, e.related) if name not in classes}
    if unknown:
        fix = "take relations that were learnt on this dataset"
        raise UnifyError(*(Problem("usage", "relations", f"there is no {what} here", fix) for what in sorted(unknown)))
    row, index = {name: i for i, name in enumerate(sources)}, {name: i for i, name in enumerate(classes)}
    matrix = np.zeros((len(sources), len(classes), len(classes)), np.bool_)
    for e in edges:
        matrix[row[e.source], index[e.label], index[e.related]] = True
    return matrix


def two_columns(edges: Iterable[Edge]) -> list[tuple[str, str]]:
    """(primary, secondary) label of every target edge once, as in Table A-1: the most frequent secondary first."""
    pairs = {(e.label, e.related) for e in edges if e.is_target}
    count = Counter(related for _, related in pairs)
    return sorted(pairs, key=lambda pair: (-count[pair[1]], pair[1], pair[0]))


def to_graph(relations: Relations, types: Sequence[Type] = TARGETS) -> nx.DiGraph:
    """A directed graph: an edge a → b says that pixels labelled a are also b.

    Nodes: every class that some source annotates, with `sources` ("idd, mapillary") and `pixels`. Edges: `type`,
    `sources` that say so, `pixels`, and means over these, weighted by pixels: `score`, `own_score`, and of the
    calibrated rule `share`, `low`, `high`, `back`. With "broader" and "overlaps" among `types`, an edge may hold for
    few of a's pixels; its share says how few.
    """
    import networkx as nx

    evidence = relations.evidence
    graph = nx.DiGraph(rule=relations.rule, **relations.settings)
    pixels = evidence.total("pixels").sum(axis=0)
    for k, name in enumerate(evidence.classes):
        if evidence.annotated[:, k].any():
            graph.add_node(name, sources=", ".join(relations.sources_of(name)), pixels=int(pixels[k]))
    groups: dict[tuple[str, str], list[Edge]] = {}
    for e in relations.edges:
        if e.type in types:
            groups.setdefault((e.label, e.related), []).append(e)
    for (label, related), group in sorted(groups.items()):
        weights = np.array([max(e.pixels, 1) for e in group], np.float64)
        facts: dict[str, Any] = {"type": min((e.type for e in group), key=TYPES.index)}
        facts |= {"sources": ", ".join(e.source for e in group), "pixels": sum(e.pixels for e in group)}
        for name in ("score", "own_score", "share", "low", "high", "back"):
            values = [getattr(e, name) for e in group]
            if None not in values:
                facts[name] = float(np.average(values, weights=weights))
        graph.add_edge(label, related, **facts)
    return graph

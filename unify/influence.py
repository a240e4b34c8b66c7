"""How much one class's answers depend on another class: the evidence, the ranking, and how sure it is.

After DropClass (Chu, Kim and Han, NeurIPS 2021, Section 3.4 and Table B-1 of its supplement), which erases from test
images the three classes that influence a class most. How influence is measured there is not known; all ways here are
our reconstruction:

erase      IoU of c on images as they are, less its IoU where every pixel of j is filled in and counts as void, both
           over the images that show c and j. The idea of Shetty et al. (arXiv 1812.06707), who remove objects.
gradient   share of the gradient of c's mean logit on c's own pixels that lies on pixels of j (of those not of c;
           absolute values), mean over the images that show both
cosine     cosine between the classifier's weights of c and of j

All start from sums by fold of the images, so that a jackknife over the folds gives a standard error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

if TYPE_CHECKING:
    import networkx as nx
    import pyarrow as pa

By: TypeAlias = Literal["erase", "gradient", "cosine"]
Over: TypeAlias = Literal["all", "same"]
Floats: TypeAlias = NDArray[np.float64]

FOLDS = 8
TOP = 3  #: of the paper
#: What is summed, each (F, K, K) [fold, j, c], over the images that show both.
#: pixels: of c. hit: answered c among them; wrong: other labelled pixels answered c, on_j: those of them that are of
#: j. hit_erased, wrong_erased: the same without j. mass: summed shares of gradients. cosine: itself.
FIELDS: dict[By, tuple[str, ...]] = {
    "erase": ("images", "pixels", "hit", "wrong", "on_j", "hit_erased", "wrong_erased"),
    "gradient": ("images", "mass"),
    "cosine": ("cosine",),
}


@dataclass(frozen=True, slots=True, eq=False)
class Influences:
    """What was found about K classes.

    sums: the arrays of `FIELDS[by]`. settings: how it was measured, in plain types. made_from: what -> digest.
    over: "all" labelled pixels, or, before too, only the "same" ones that are there after j is erased: then what the
    net takes for c on j's own pixels does not count.
    """

    by: By
    classes: tuple[str, ...]
    sums: Mapping[str, Floats]
    settings: Mapping[str, str | int]
    made_from: Mapping[str, str]
    over: Over = "all"

    def __post_init__(self) -> None:
        assert tuple(self.sums) == FIELDS[self.by], (self.by, tuple(self.sums))
        shapes = {a.shape for a in self.sums.values()}
        assert len(shapes) == 1 and next(iter(shapes))[1:] == (len(self.classes),) * 2, shapes

    def images(self) -> NDArray[np.int64]:
        """(K, K) [j, c]: images that show both; 0 where none was looked at."""
        if "images" not in self.sums:
            return np.zeros((len(self.classes),) * 2, np.int64)
        return np.asarray(self.sums["images"].sum(0), np.int64)

    def iou(self) -> tuple[Floats, Floats]:
        """(K, K) [j, c]: IoU of c with and without j; NaN where no image shows both. Of `erase`."""
        return _ious({name: a.sum(0) for name, a in self.sums.items()}, self.over)

    def matrix(self) -> Floats:
        """(K, K) [j, c]: the influence of j on c; NaN where there is none to know, and of a class on itself."""
        return _matrix(self.by, {name: a.sum(0) for name, a in self.sums.items()}, self.over)

    def standard_error(self) -> Floats:
        """(K, K): of `matrix`, by leaving out one fold at a time; NaN where fewer than two folds have such images."""
        folds = next(iter(self.sums.values()))
        if len(folds) < 2 or "images" not in self.sums:
            return np.full(folds.shape[1:], np.nan)
        total = {name: a.sum(0) for name, a in self.sums.items()}
        left = np.array(
            [
                _matrix(self.by, {name: total[name] - a[fold] for name, a in self.sums.items()}, self.over)
                for fold in range(len(folds))
            ]
        )
        has_jc = self.sums["images"] > 0
        n_jc = has_jc.sum(0)
        left = np.where(has_jc, left, 0.0)  # a fold without such images changes nothing
        safe_jc = np.maximum(n_jc, 1)
        spread = (np.where(has_jc, left - left.sum(0) / safe_jc, 0.0) ** 2).sum(0)
        return np.where(n_jc >= 2, np.sqrt((safe_jc - 1) / safe_jc * spread), np.nan)

    def ranked(self) -> dict[str, dict[str, float]]:
        """Class -> the other classes with their influence on it, the greatest first: what `unify erase` reads.

        Without classes of which nothing is known.
        """
        matrix = self.matrix()
        found = {}
        for c, name in enumerate(self.classes):
            known = np.flatnonzero(np.isfinite(matrix[:, c]))
            order = known[np.argsort(-matrix[known, c], kind="stable")]
            if len(order):
                found[name] = {self.classes[j]: float(matrix[j, c]) for j in order}
        return found

    def top(self, most: int = TOP) -> dict[str, tuple[str, ...]]:
        """Class -> the classes of the greatest influence on it."""
        return {name: tuple(others)[:most] for name, others in self.ranked().items()}

    def vulnerability(self, most: int = TOP) -> dict[str, float]:
        """Class -> mean influence of its `top` classes, the greatest first. Our reconstruction.

        In the paper it has the ranking of the IoU that is lost when all of them are erased together, which
        `unify robustness` measures.
        """
        found = {name: float(np.mean(list(others.values())[:most])) for name, others in self.ranked().items()}
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def never_found(self) -> tuple[str, ...]:
        """Classes that are shown, and not one pixel of which is answered rightly: with no IoU to lose, their
        influences are 0 and say nothing. Of `erase`; none otherwise.
        """
        if self.by != "erase":
            return ()
        shown, hit = (self.sums[name].sum((0, 1)) for name in ("images", "hit"))
        return tuple(name for name, n, h in zip(self.classes, shown, hit, strict=True) if n and not h)

    @property
    def digest(self) -> str:
        """BLAKE3 (hex) of everything."""
        facts = (self.by, self.classes, sorted(self.settings.items()), sorted(self.made_from.items()), self.over)
        found = blake3(repr(facts).encode())
        for name, array in self.sums.items():
            found.update(f"{name}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        return found.hexdigest()

    def to_table(self) -> pa.Table:
        """`sums`, a row for each fold and pair that has anything."""
        import pyarrow as pa

        arrays = np.stack(list(self.sums.values()), -1)
        fold, other, one = np.nonzero((arrays != 0).any(-1))
        columns: dict[str, Any] = {"fold": fold, "other": other, "class_id": one}
        kept = arrays[fold, other, one]
        whole = "mass" not in self.sums and "cosine" not in self.sums
        for i, name in enumerate(self.sums):
            is_count = whole or name == "images"
            columns[name] = kept[:, i].astype(np.int64) if is_count else kept[:, i]
        return pa.table(columns)

    @staticmethod
    def sums_from(table: pa.Table, by: By, num_classes: int, folds: int) -> dict[str, Floats]:
        """What `to_table` wrote. Raises KeyError, IndexError for another table."""
        at = tuple(table[name].to_numpy() for name in ("fold", "other", "class_id"))
        found = {}
        for name in FIELDS[by]:
            array = np.zeros((folds, num_classes, num_classes))
            array[at] = table[name].to_numpy()
            found[name] = array
        return found


def empty_sums(by: By, num_classes: int, folds: int = FOLDS) -> dict[str, Floats]:
    return {name: np.zeros((folds, num_classes, num_classes)) for name in FIELDS[by]}


def _ious(total: Mapping[str, Floats], over: Over) -> tuple[Floats, Floats]:
    wrong = total["wrong"] - (total["on_j"] if over == "same" else 0)
    return (
        _ratio(total["hit"], total["pixels"] + wrong, total["images"]),
        _ratio(total["hit_erased"], total["pixels"] + total["wrong_erased"], total["images"]),
    )


def _matrix(by: By, total: Mapping[str, Floats], over: Over) -> Floats:
    if by == "erase":
        before, after = _ious(total, over)
        found = before - after
    elif by == "gradient":
        found = _ratio(total["mass"], total["images"], total["images"])
    else:
        found = total["cosine"].copy()
    np.fill_diagonal(found, np.nan)
    return found


def _ratio(part: Floats, whole: Floats, images: Floats) -> Floats:
    """part / whole; NaN where there is no image. An image that shows c has a pixel of it."""
    found: Floats = np.divide(part, whole, out=np.full(part.shape, np.nan), where=(images > 0) & (whole > 0))
    return found


def to_graph(influences: Influences, most: int = TOP) -> nx.DiGraph[str]:
    """Nodes: classes, with their `vulnerability`. Edges j -> c of the `most` greatest influences on c, if positive:
    "influence", "standard_error" (unless it is not known), "images", "rank" from 1.
    """
    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph()
    place = {name: i for i, name in enumerate(influences.classes)}
    images, errors = influences.images(), influences.standard_error()
    for name, value in influences.vulnerability(most).items():
        graph.add_node(name, vulnerability=value)
    for name, others in influences.ranked().items():
        for rank, (other, value) in enumerate(list(others.items())[:most], 1):
            if value <= 0:
                continue
            j, c = place[other], place[name]
            facts: dict[str, float | int] = {"influence": value, "images": int(images[j, c]), "rank": rank}
            if np.isfinite(errors[j, c]):
                facts["standard_error"] = float(errors[j, c])
            graph.add_edge(other, name, **facts)
    return graph

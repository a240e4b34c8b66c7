"""Evidence of class relations: what one sweep of a net over labelled images has to add up, and nothing more.

A label says what the source's annotators called a pixel; the net says what all classes of the union make of it.
Per fold f of the images, source i and label c:

    pixels[f, i, c], images[f, i, c]   how many pixels have that label, and in how many images
    scores[f, i, c, j]                 sum over these pixels of the cosine with class j, -1..1 each
                                       (Kim et al., ECCV 2022, §3.3; methods of the reproduction: s = scores / pixels)
    answers[f, i, c, o, k]             sum over these pixels of P_o(k), the softmax over the classes of source o alone:
                                       what the net thinks that o's annotators would have said. o = i is the net's own
                                       confusion. Optional: the paper's rule does without.
    void.pixels[f, i], void.answers[f, i, o, k]    the same of pixels that i leaves void. Optional: where they are, o
                                       may also answer void, with what its answers to a pixel lack of 1.

Sums are whole numbers, in units of 2^-24: adding up is exact, so any order of images and any division of the work
gives the same bytes. `fold_of` deals images to folds by name; intervals come from leaving folds out.

A sweep is `Evidence.empty(...)`, then `add` once an image (or `add_sums` with sums made elsewhere, on a GPU), and
`merge` for parts that were swept apart. Relations are read from it by `rules` and `learner`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from unify.errors import error

if TYPE_CHECKING:
    import pyarrow as pa

    from unify.taxonomy import Taxonomy

FORMAT = 2  #: 1 without void
FOLDS = 8
UNIT = 1 << 24  #: a sum of 1.0 is stored as this
_MOST_PIXELS = 1 << 38  # of one label in one fold: sums up to this fit into 63 bits
_DECIMALS = 7  # of a mean: the rounding of one image's sum is below that

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Void:
    """Of pixels without a label: `pixels` (F, S) int64, `answers` (F, S, S, K) int64 in units of 2^-24."""

    pixels: Ints
    answers: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """F folds, S sources, K classes.

    `annotated` (S, K) bool: the null mask, which classes each source annotates. `pixels`, `images` (F, S, K) int64.
    `scores` (F, S, K, K) and `answers` (F, S, K, S, K) int64, in units of 2^-24; answers of classes that the
    answering source lacks are 0. `made_from`: what -> digest ("checkpoint", "data", "stats", ...). `void`: None where
    sources answer with classes alone.
    Raises `UnifyError` (bad-artifact) if the parts do not fit together.
    """

    classes: tuple[str, ...]
    sources: tuple[str, ...]
    annotated: NDArray[np.bool_]
    pixels: Ints
    images: Ints
    scores: Ints
    answers: Ints | None
    made_from: Mapping[str, str]
    void: Void | None = None

    def __post_init__(self) -> None:
        f, s, k = len(self.pixels), len(self.sources), len(self.classes)
        shapes = {"annotated": (s, k), "pixels": (f, s, k), "images": (f, s, k), "scores": (f, s, k, k)}
        shapes |= {"answers": (f, s, k, s, k)} if self.answers is not None else {}
        parts = {name: np.shape(getattr(self, name)) for name in shapes}
        if self.void is not None:
            shapes |= {"void's pixels": (f, s), "void's answers": (f, s, s, k)}
            parts |= {"void's pixels": np.shape(self.void.pixels), "void's answers": np.shape(self.void.answers)}
        faults = [f"{name} is {parts[name]}, not {shape}" for name, shape in shapes.items() if parts[name] != shape]
        faults += ["void without answers"] if self.void is not None and self.answers is None else []
        faults += [f"{what} twice" for what in ("classes", "sources") if len(set(v := getattr(self, what))) < len(v)]
        if not faults and (self.pixels.sum(axis=0)[~self.annotated] > 0).any():
            faults.append("a source has pixels of a class that it does not annotate")
        if not faults and (self.pixels < 0).any():
            faults.append("negative pixel counts")
        if faults:
            raise error("bad-artifact", "evidence of relations", "; ".join(faults), "sweep again")

    @classmethod
    def empty(
        cls,
        classes: Sequence[str],
        sources: Sequence[str],
        annotated: NDArray[np.bool_],
        *,
        made_from: Mapping[str, str] | None = None,
        folds: int = FOLDS,
        with_answers: bool = True,
    ) -> Evidence:
        """Evidence of no image: what a sweep begins with. `annotated` (S, K) bool."""
        f, s, k = folds, len(sources), len(classes)
        return cls(
            tuple(classes),
            tuple(sources),
            np.asarray(annotated, np.bool_),
            np.zeros((f, s, k), np.int64),
            np.zeros((f, s, k), np.int64),
            np.zeros((f, s, k, k), np.int64),
            np.zeros((f, s, k, s, k), np.int64) if with_answers else None,
            dict(made_from or {}),
        )

    @classmethod
    def of_taxonomy(cls, taxonomy: Taxonomy, made_from: Mapping[str, str] | None = None, **options: Any) -> Evidence:
        """`empty` for the sources and the space of a version; `options` as there."""
        return cls.empty(taxonomy.space.names, taxonomy.sources, taxonomy.null_mask, made_from=made_from, **options)

    def add(
        self,
        source: str,
        sample_id: str,
        labels_n: NDArray[np.integer[Any]],
        scores_nk: NDArray[np.floating[Any]],
        logits_nk: NDArray[np.floating[Any]] | None = None,
    ) -> Evidence:
        """With one more image; call it once for each.

        Args:
            labels_n: N labels; those outside 0..K-1 (sets, void) and those that the source does not annotate are
                passed over.
            scores_nk: (N, K) cosines, -1..1.
            logits_nk: (N, K) logits, whose softmax over each source's classes is its answer; needed unless the
                evidence is without answers.
        """
        known = self.annotated[self.sources.index(source)]
        k = len(self.classes)
        labels = np.asarray(labels_n, np.int64)
        kept = (labels >= 0) & (labels < k)
        kept[kept] = known[labels[kept]]
        one_hot = (labels[kept][:, None] == np.arange(k)).astype(np.float64)
        scores = one_hot.T @ scores_nk[kept]
        answers = None
        if self.answers is not None:
            assert logits_nk is not None, "this evidence holds answers: give logits"
            answers = np.stack([one_hot.T @ softmax_over(logits_nk[kept], mask) for mask in self.annotated], axis=1)
        return self.add_sums(source, fold_of(sample_id, len(self.pixels)), one_hot.sum(axis=0), scores, answers)

    def add_sums(
        self,
        source: str,
        fold: int,
        pixels_k: NDArray[Any],
        scores_kk: NDArray[np.floating[Any]],
        answers_ksk: NDArray[np.floating[Any]] | None = None,
    ) -> Evidence:
        """With the float sums of one image: (K,) pixels, (K, K) scores, (K, S, K) answers. See the module's head.

        Call it once an image: rounding to 2^-24 happens here, and the image count rises by one where there are
        pixels. Raises `UnifyError` (bad-artifact) for NaN, for sums that no cosine gives, and for more pixels than
        fit.
        """
        s = self.sources.index(source)
        pixels = np.asarray(pixels_k).astype(np.int64)
        names = {"scores": (scores_kk, self.scores)} | (
            {"answers": (answers_ksk, self.answers)} if self.answers is not None else {}
        )
        new: dict[str, Any] = {}
        for name, (sums, before) in names.items():
            assert sums is not None and before is not None, f"{name} are missing"
            _check_sums(name, np.asarray(sums, np.float64), pixels)
            new[name] = before.copy()
            new[name][fold, s] += np.rint(np.asarray(sums, np.float64) * UNIT).astype(np.int64)
        new["pixels"], new["images"] = self.pixels.copy(), self.images.copy()
        new["pixels"][fold, s] += pixels
        new["images"][fold, s] += pixels > 0
        if (new["pixels"][fold, s] > _MOST_PIXELS).any():
            raise error("bad-artifact", "evidence of relations", "more pixels than sums can hold", "use more folds")
        return dataclasses.replace(self, **new)

    def merge(self, other: Evidence) -> Evidence:
        """Both together: sweeps of disjoint images with one net.

        Raises `UnifyError` (usage) if they are not about the same classes, sources, net and data.
        """
        said = {
            "classes": self.classes != other.classes,
            "sources": self.sources != other.sources,
            "null masks": self.annotated.tolist() != other.annotated.tolist(),
            "folds": len(self.pixels) != len(other.pixels),
            "answers": (self.answers is None) != (other.answers is None),
            "void": (self.void is None) != (other.void is None),
            "origins": dict(self.made_from) != dict(other.made_from),
        }
        if different := [name for name, differs in said.items() if differs]:
            what = f"two parts with different {', '.join(different)}"
            raise error("usage", "evidence of relations", what, "merge sweeps of one net over one dataset")
        answers = self.answers + other.answers if self.answers is not None and other.answers is not None else None
        void = None
        if self.void is not None and other.void is not None:
            void = Void(self.void.pixels + other.void.pixels, self.void.answers + other.void.answers)
        return dataclasses.replace(
            self,
            pixels=self.pixels + other.pixels,
            images=self.images + other.images,
            scores=self.scores + other.scores,
            answers=answers,
            void=void,
        )

    def of_folds(self, kept_f: NDArray[np.bool_]) -> Evidence:
        """Of these folds alone."""
        cut = {name: getattr(self, name)[kept_f] for name in ("pixels", "images", "scores")}
        answers = None if self.answers is None else self.answers[kept_f]
        void = None if self.void is None else Void(self.void.pixels[kept_f], self.void.answers[kept_f])
        return dataclasses.replace(self, **cut, answers=answers, void=void)

    def totals_with_void(self) -> tuple[Ints, Ints]:
        """`pixels` (S, K) and `answers` (S, K, S, K) summed over folds; with void as a last class, if it is told of."""
        pixels, answers = self.total("pixels"), self.total("answers")
        if self.void is None:
            return pixels, answers
        pixels = np.concatenate([pixels, self.void.pixels.sum(axis=0)[:, None]], axis=1)
        answers = np.concatenate([answers, self.void.answers.sum(axis=0)[:, None]], axis=1)
        rest = np.maximum(pixels[:, :, None] * UNIT - answers.sum(axis=3), 0)
        return pixels, np.concatenate([answers, rest[..., None]], axis=3)

    def total(self, name: str) -> Ints:
        """`pixels`, `images`, `scores` or `answers` summed over folds."""
        values: Ints = getattr(self, name)
        return np.asarray(values.sum(axis=0))

    def mean_scores(self) -> Floats:
        """(S, K, K) float64: s^i_{c,j}, the mean cosine with class j over pixels that source i labels c.

        NaN where there are no pixels. Rounded to 7 decimals, below what the sums resolve.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            means = self.total("scores") / UNIT / self.total("pixels")[..., None]
        return np.round(means, _DECIMALS)

    def recall(self) -> Floats:
        """(S, K) float64 in 0..1: the share of a source's pixels of c for which the net answers c among the source's
        own classes, as probabilities say. NaN where there are no pixels, or no answers.
        """
        if self.answers is None:
            return np.full(self.annotated.shape, np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.einsum("icic->ic", self.total("answers")) / UNIT / self.total("pixels"))

    def to_json(self) -> dict[str, Any]:
        """Everything in plain types, sums as whole numbers; rows only where there are pixels."""
        rows = []
        for f, s, c in np.argwhere(self.pixels > 0).tolist():
            row = {"fold": f, "source": self.sources[s], "label": self.classes[c]}
            row |= {"pixels": int(self.pixels[f, s, c]), "images": int(self.images[f, s, c])}
            row["scores"] = self.scores[f, s, c].tolist()
            row["answers"] = None if self.answers is None else self.answers[f, s, c].ravel().tolist()
            rows.append(row)
        if self.void is not None:
            for f, s in np.argwhere(self.void.pixels > 0).tolist():
                row = {"fold": f, "source": self.sources[s], "label": None, "pixels": int(self.void.pixels[f, s])}
                rows.append({**row, "images": 0, "scores": [], "answers": self.void.answers[f, s].ravel().tolist()})
        return {**self._head(), "rows": rows}

    def _head(self) -> dict[str, Any]:
        lacking = zip(self.sources, self.annotated.tolist(), strict=True)
        return {
            "format": 1 if self.void is None else FORMAT,
            "unit": UNIT,
            "folds": len(self.pixels),
            "with_answers": self.answers is not None,
            **({} if self.void is None else {"with_void": True}),
            "classes": list(self.classes),
            "annotates": {name: [self.classes[i] for i, here in enumerate(row) if here] for name, row in lacking},
            "made_from": dict(sorted(self.made_from.items())),
        }

    @property
    def digest(self) -> str:
        """BLAKE3 (hex) of the canonical JSON."""
        return blake3(json.dumps(self.to_json(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @classmethod
    def from_json(cls, data: Mapping[str, Any], path: str = "evidence") -> Evidence:
        """What `to_json` gave. Raises `UnifyError`: newer-format, bad-artifact."""
        try:
            if data["format"] > FORMAT:
                raise error("newer-format", path, f"its format is {data['format']}", "update unify to read it")
            if data["unit"] != UNIT:
                raise ValueError(f"its unit is {data['unit']}")
            classes, sources = tuple(data["classes"]), tuple(data["annotates"])
            index, s_index = {n: i for i, n in enumerate(classes)}, {n: i for i, n in enumerate(sources)}
            annotated = np.zeros((len(sources), len(classes)), np.bool_)
            for source, names in data["annotates"].items():
                annotated[s_index[source], [index[name] for name in names]] = True
            origins = {str(what): str(digest) for what, digest in data["made_from"].items()}
            answering = bool(data["with_answers"])
            empty = cls.empty(
                classes, sources, annotated, made_from=origins, folds=data["folds"], with_answers=answering
            )
            void = None
            if data.get("with_void"):
                shape = (len(empty.pixels), len(sources), len(sources), len(classes))
                void = Void(np.zeros(shape[:2], np.int64), np.zeros(shape, np.int64))
            for row in data["rows"]:
                if not 0 <= row["fold"] < data["folds"]:
                    raise ValueError(f"fold {row['fold']}")
                if void is not None and row["label"] is None:
                    place = row["fold"], s_index[row["source"]]
                    void.pixels[place] = row["pixels"]
                    void.answers[place] = np.array(row["answers"], np.int64).reshape(void.answers.shape[2:])
                    continue
                at = (row["fold"], s_index[row["source"]], index[row["label"]])
                empty.pixels[at], empty.images[at] = row["pixels"], row["images"]
                empty.scores[at] = np.array(row["scores"], np.int64).reshape(len(classes))
                if empty.answers is not None:
                    empty.answers[at] = np.array(row["answers"], np.int64).reshape(len(sources), len(classes))
            return dataclasses.replace(empty, void=void)  # checked again, now that it is full
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as e:
            raise error("bad-artifact", path, f"is no evidence of relations ({e!r})", "sweep again") from e

    def to_table(self) -> pa.Table:
        """The rows of `to_json` as a table; the rest is in the schema's metadata, under "unify.evidence"."""
        import pyarrow as pa

        numbers = pa.list_(pa.int64())
        schema = pa.schema(
            [("fold", pa.int64()), ("source", pa.string()), ("label", pa.string()), ("pixels", pa.int64()),
             ("images", pa.int64()), ("scores", numbers), ("answers", numbers)]
        )  # fmt: skip
        return pa.Table.from_pylist(self.to_json()["rows"], schema.with_metadata({_METADATA: json.dumps(self._head())}))

    @classmethod
    def from_table(cls, table: pa.Table, path: str = "evidence") -> Evidence:
        """What `to_table` gave. Raises `UnifyError`: newer-format, bad-artifact."""
        head = (table.schema.metadata or {}).get(_METADATA.encode())
        if head is None:
            raise error("bad-artifact", path, "says nothing of classes and sources", "sweep again")
        return cls.from_json({**json.loads(head), "rows": table.to_pylist()}, path)


_METADATA = "unify.evidence"


def fold_of(sample_id: str, folds: int = FOLDS) -> int:
    """The fold of an image: always the same for its name."""
    return int.from_bytes(blake3(sample_id.encode()).digest(8), "little") % folds


def softmax_over(logits_nk: NDArray[np.floating[Any]], mask_k: NDArray[np.bool_]) -> Floats:
    """(N, K) float64: the softmax over the classes in `mask_k`, 0 for the others."""
    if not mask_k.any():
        return np.zeros(logits_nk.shape)
    logits = np.where(mask_k, np.asarray(logits_nk, np.float64), -np.inf)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _check_sums(name: str, sums: Floats, pixels: Ints) -> None:
    most = pixels.reshape(-1, *(1,) * (sums.ndim - 1)) * (1 + 1e-3) + 1e-6  # half precision overshoots 1 a little
    if np.isnan(sums).any():
        raise error("bad-artifact", "evidence of relations", f"{name} are NaN", "look at the net's weights")
    if (np.abs(sums) > most).any():
        what = f"{name} are larger than their number of pixels allows"
        raise error("bad-artifact", "evidence of relations", what, "give cosines (-1..1) and probabilities (0..1)")

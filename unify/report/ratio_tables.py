"""Two tables of IoU: what erasing influential classes costs, and what a method brings to rare classes.

`robustness` has the form of Table B-1 of the DropClass supplement (Chu, Kim and Han, Learning Debiased and
Disentangled Representations for Semantic Segmentation, NeurIPS 2021), `frequency` that of its Table C-2. Scores
go in as shares in 0..1, as `unify evaluate` gives them; tables hold percent, and differences in points of percent,
unrounded. Only `text`, `tall`, `markdown` and `latex` round, halves away from 0.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from unify.errors import Problem, UnifyError, error

Cell = float | str | None  #: None: not scored, printed as "-"
MOST = 9  #: classes of mIoU* in the paper

_LATEX = {c: "\\" + c for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "Δ": r"$\Delta$",
    "†": r"$^{\dagger}$",
    "*": "$^{*}$",
    "±": r"$\pm$",
    "→": r"$\rightarrow$",
    "−": "$-$",
}


@dataclass(frozen=True, slots=True)
class ModelScores:
    """IoU of a model by class, each in 0..1 or None: `biased` on the images as they are (I), `unbiased` on those
    in which the classes that influence it are erased (I*)."""

    name: str
    biased: Mapping[str, float | None]
    unbiased: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Row:
    """A line: its name, and a cell for each column; numbers are shown with so many `digits` behind the point."""

    name: str
    cells: tuple[Cell, ...]
    digits: int = 1

    def shown(self) -> list[str]:
        return [self.name, *(_shown(cell, self.digits) for cell in self.cells)]


@dataclass(frozen=True, slots=True)
class Table:
    """`columns` are the heads of the cells, without that of the rows' names; `notes` stand below."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Aligned columns, the cells to the right; no newline at the end."""
        return "\n".join([*_aligned([["", *self.columns], *(row.shown() for row in self.rows)]), *self._below()])

    def tall(self, width: int = 0) -> str:
        """As `text`, turned: a line a column, for tables with more columns than a terminal is wide.

        In as few blocks as `width` characters allow, each of about as many rows; in one with 0.
        """
        head, shown = ["", *self.columns], [row.shown() for row in self.rows]
        for n in range(1, len(shown) + 1):
            ends = [round(len(shown) * i / n + 0.49) for i in range(n + 1)]
            blocks = [_turned([head, *shown[a:b]]) for a, b in itertools.pairwise(ends)]
            if not width or max(len(line) for block in blocks for line in block) <= width:
                break
        return "\n".join(["\n\n".join("\n".join(block) for block in blocks), *self._below()])

    def markdown(self) -> str:
        """A table of GitHub's Markdown, the notes as paragraphs; no newline at the end."""
        rule = ["---", *("---:" if right else "---" for right in self._to_right())]
        lines = [["", *self.columns], rule, *(row.shown() for row in self.rows)]
        table = "\n".join("| " + " | ".join(_marked_down(cell) for cell in line) + " |" for line in lines)
        return "\n\n".join([table, *map(_marked_down, self.notes)])

    def latex(self) -> str:
        r"""A `tabular` with rules of the package booktabs, notes as comments; no newline at the end."""
        body = [" & ".join(map(_latex, row.shown())) + r" \\" for row in self.rows]
        head = " & ".join(["", *map(_latex, self.columns)]) + r" \\"
        begin = rf"\begin{{tabular}}{{l{''.join('r' if right else 'l' for right in self._to_right())}}}"
        notes = [f"% {note}" for note in self.notes]
        return "\n".join([*notes, begin, r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}"])

    def to_json(self) -> dict[str, Any]:
        """{"columns": [..], "rows": [{"name", "values": {column: number, text or None}}], "notes": [..]}, unrounded."""
        rows = [{"name": row.name, "values": dict(zip(self.columns, row.cells, strict=True))} for row in self.rows]
        return {"columns": list(self.columns), "rows": rows, "notes": list(self.notes)}

    def _to_right(self) -> list[bool]:
        return [_is_numeric(column) for column in zip(*(row.shown()[1:] for row in self.rows), strict=True)]

    def _below(self) -> list[str]:
        return ["", *self.notes] if self.notes else []


def robustness(
    rows: Sequence[ModelScores],
    selecting: int = 0,
    most: int = MOST,
    top: Mapping[str, Sequence[str]] | None = None,
) -> Table:
    """Table B-1: for each model a row I, a row I* and their difference, a column a class, then mIoU and mIoU*.

    Columns go from the most vulnerable class to the least: by the IoU that model number `selecting` loses from I to
    I*, ties in their order. It should be the model whose most influential classes were erased. mIoU* is the mean
    over the `most` most vulnerable classes, or over half of the classes (rounded down, but one at least) where there
    are fewer than 2 * `most`. Classes that any of the rows has no score for come last and are in no mean, so that
    all means are over the same.

    Args:
        rows: one model or more, with the same classes.
        selecting: index into `rows`.
        top: class → the classes that were erased for it; a last row where given.

    Raises `UnifyError` (usage) for no model, another index, or models of different classes.
    """
    if not rows or not 0 <= selecting < len(rows):
        raise error("usage", "", f"there is no model number {selecting} of {len(rows)}", "choose one of the models")
    names = _same_classes(
        [(f"{m.name} ({on})", scores) for m in rows for on, scores in (("I", m.biased), ("I*", m.unbiased))]
    )
    chosen = rows[selecting]
    drop = {name: _minus(chosen.biased[name], chosen.unbiased[name]) for name in names}
    scored = _scored(names, [scores for m in rows for scores in (m.biased, m.unbiased)])
    scored.sort(key=lambda name: -round(drop[name] or 0.0, 9))  # that equal drops are equal as floats
    vulnerable = scored[: min(most, max(len(scored) // 2, 1))]
    order = scored + [name for name in names if name not in scored]
    sets = (scored, vulnerable)
    lines = []
    for model in rows:
        biased, unbiased = (_line(scores, order, sets) for scores in (model.biased, model.unbiased))
        lines.append(Row(f"{model.name} (I)", biased))
        lines.append(Row(f"{model.name} (I*)", unbiased))
        lines.append(Row(f"Δ ({model.name})", tuple(map(_minus, unbiased, biased))))
    if top is not None:
        lines.append(Row(f"erased for it ({chosen.name})", (*(", ".join(top.get(name, ())) for name in order), "", "")))
    verb = "loses" if len(vulnerable) == 1 else "lose"
    notes = [f"mIoU*: the {_classes(len(vulnerable))} that {verb} most IoU from I to I* in {chosen.name}"]
    return Table((*order, "mIoU", "mIoU*"), tuple(lines), (*notes, *_left_out(order[len(scored) :])))


def frequency(baseline: ModelScores, method: ModelScores, pixels_or_images: Mapping[str, int]) -> Table:
    """Table C-2: classes by rising frequency, the IoU on I of two models, Δ and Δ %, then mIoU and mIoU†.

    mIoU† is the mean over the rarer half of the classes (`unify.stats.least_frequent_half`, ties by the order of
    the classes), marked †. The paper counts images on Pascal VOC, without background, and pixels on Cityscapes.
    Classes that one of the models has no score for are in no mean.

    Args:
        baseline, method: only `biased` is looked at; the same classes.
        pixels_or_images: how often each of the classes occurs in training.

    Raises `UnifyError` (usage) for models of different classes, and classes whose frequency is not given.
    """
    import numpy as np

    from unify.stats import least_frequent_half

    names = _same_classes([(m.name, m.biased) for m in (baseline, method)])
    if missing := [name for name in names if name not in pixels_or_images]:
        raise error("usage", "", f"no frequency is given for: {', '.join(missing)}", "count the split trained on")
    scored = _scored(names, [baseline.biased, method.biased])
    half = least_frequent_half(np.array([pixels_or_images[name] for name in scored], np.int64))
    rare = [name for name, is_rare in zip(scored, half, strict=True) if is_rare]
    order = sorted(names, key=lambda name: pixels_or_images[name])
    total = sum(pixels_or_images[name] for name in names)
    shares = (*(100 * pixels_or_images[name] / total if total else None for name in order), "", "")
    before, after = (_line(model.biased, order, (scored, rare)) for model in (baseline, method))
    delta = tuple(map(_minus, after, before))
    relative = tuple(100 * d / b if isinstance(d, float) and isinstance(b, float) and b else None
                     for d, b in zip(delta, before, strict=True))  # fmt: skip
    columns = (*(f"{name}†" if name in rare else name for name in order), "mIoU", "mIoU†")
    rows = (
        Row("frequency %", shares),
        Row(baseline.name, before),
        Row(method.name, after),
        Row("Δ", delta),
        Row("Δ %", relative),
    )
    notes = (f"mIoU†: the {_classes(len(rare))} that occur least", *_left_out([n for n in order if n not in scored]))
    return Table(columns, rows, notes)


def mean(values: Iterable[float]) -> float | None:
    """Their mean, without error of summation; None of nothing."""
    values = list(values)
    return math.fsum(values) / len(values) if values else None


# --- Parts ----------------------------------------------------------------------------------------------


def _same_classes(scores: Sequence[tuple[str, Mapping[str, float | None]]]) -> list[str]:
    """The classes of the first, in its order; raises with every difference of the others from it."""
    (first, reference), *others = scores
    problems = []
    for name, found in others:
        if lacks := [c for c in reference if c not in found]:
            problems.append(Problem("usage", "", f"{name} lacks classes of {first}: {', '.join(lacks)}", _FIX))
        if more := [c for c in found if c not in reference]:
            problems.append(Problem("usage", "", f"{name} has classes that {first} lacks: {', '.join(more)}", _FIX))
    if problems:
        raise UnifyError(*problems)
    return list(reference)


_FIX = "score both in one label space"


def _scored(names: Sequence[str], scores: Sequence[Mapping[str, float | None]]) -> list[str]:
    return [name for name in names if all(found[name] is not None for found in scores)]


def _line(scores: Mapping[str, float | None], order: Sequence[str], sets: Sequence[Sequence[str]]) -> tuple[Cell, ...]:
    """The classes in `order`, then a mean over each of `sets`; in percent."""
    percent = {name: None if value is None else 100 * value for name, value in scores.items()}
    means = (mean(value for name in chosen if (value := percent[name]) is not None) for chosen in sets)
    return (*(percent[name] for name in order), *means)


def _minus(one: Cell, other: Cell) -> float | None:
    return one - other if isinstance(one, int | float) and isinstance(other, int | float) else None


def _classes(number: int) -> str:
    return f"{number} class{'' if number == 1 else 'es'}"


def _left_out(names: Sequence[str]) -> list[str]:
    return [f"in no mean, for want of a score: {', '.join(names)}"] if names else []


def _shown(cell: Cell, digits: int) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    # 65.25 is 65.3 as in print, though it may have come out of floats as 65.2499999999.
    text = str(Decimal(f"{cell:.9f}").quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text  # no "-0.0"


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Columns of equal width, the first and those with words to the left."""
    columns = []
    for i, column in enumerate(zip(*lines, strict=True)):
        width, right = max(map(len, column)), i > 0 and _is_numeric(column[1:])
        columns.append([cell.rjust(width) if right else cell.ljust(width) for cell in column])
    return ["  ".join(line).rstrip() for line in zip(*columns, strict=True)]


def _turned(lines: Sequence[Sequence[str]]) -> list[str]:
    return _aligned(list(zip(*lines, strict=True)))


def _is_numeric(cells: Iterable[str]) -> bool:
    return not any(char.isalpha() for cell in cells for char in cell)


def _marked_down(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


def _latex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text)

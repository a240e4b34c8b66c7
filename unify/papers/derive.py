"""What follows from the figures of a paper's table, computed anew, and what rounding leaves open.

A printed figure stands for any number that rounds to it. What is derived from such figures is therefore a range,
and a printed summary contradicts them only if nothing that rounds to it lies in the range. All arithmetic is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from unify.papers.tables import Derivation, Figure, PaperRow, PaperTable


@dataclass(frozen=True, slots=True)
class Range:
    """`value` follows from the figures as printed; that from the unrounded ones lies in `low`..`high`."""

    value: Fraction
    low: Fraction
    high: Fraction

    def __sub__(self, other: Range) -> Range:
        return Range(self.value - other.value, self.low - other.high, self.high - other.low)


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure that is not what the others give: `derived`, rounded as the figure is, differs from `printed`.

    `by_rounding`: the figures before rounding can agree. `is_limit`: `derived` is what `printed` cannot exceed.
    """

    row: str
    column: str
    printed: Figure
    derived: Range
    by_rounding: bool
    is_limit: bool = False

    def __str__(self) -> str:
        printed, low, high = self.printed.text, _four(self.derived.low), _four(self.derived.high)
        if self.is_limit:
            return f"{self.row}, {self.column}: printed {printed}, at most {high} is possible"
        shown = rounded(self.derived.value, self.printed.digits)
        open_ = "" if self.by_rounding else f"; rounding leaves {low} to {high}"
        return f"{self.row}, {self.column}: printed {printed}, derived {shown}{open_}"


def derived(table: PaperTable) -> list[dict[str, Range]]:
    """For each row of a table of figures: column → what follows for it from other figures.

    A summary follows from the values of its row, in rows that print it; other columns that `derived` lists do in
    every row. A row that follows from two others does so in each column and summary. Of marks and words: nothing.
    """
    if table.kind != "figures":
        return [{} for _ in table.rows]
    plain = {row.name: _of_row(row, table) for row in table.rows if not (row.minus or row.relative)}
    found = []
    for row in table.rows:
        if row.minus or row.relative:
            how = _minus if row.minus else _relative
            one, other = (_all(table.row(name), plain[name]) for name in row.minus or row.relative or ())
            found.append({c: r for c in one if c in other and (r := how(one[c], other[c])) is not None})
        else:
            found.append(plain[row.name])
    return found


def differences(table: PaperTable) -> list[Difference]:
    """All figures of the table that differ from what is derived, in the order of the table."""
    limits = {d.column: d.limits for d in table.derived if d.limits}
    found = []
    for row, ranges in zip(table.rows, derived(table), strict=True):
        printed = {**row.values, **row.printed}
        for column, range_ in ranges.items():
            figure = printed.get(limits.get(column, column))
            if not isinstance(figure, Figure):
                continue
            low, high = figure.value - figure.half_unit, figure.value + figure.half_unit
            if column in limits:
                if low > range_.high:
                    found.append(Difference(row.name, limits[column], figure, range_, False, is_limit=True))
            elif rounded(range_.value, figure.digits) != rounded(figure.value, figure.digits):
                by_rounding = low <= range_.high and range_.low <= high
                found.append(Difference(row.name, column, figure, range_, by_rounding))
    return found


def compared(table: PaperTable) -> int:
    """How many printed figures follow from others and were computed anew."""
    limits = {d.column for d in table.derived if d.limits}
    return sum(
        isinstance({**row.values, **row.printed}.get(column), Figure)
        for row, ranges in zip(table.rows, derived(table), strict=True)
        for column in ranges
        if column not in limits
    )


def rounded(value: Fraction, digits: int) -> str:
    """With so many digits behind the point, halves away from 0; never "-0.0"."""
    units = int(abs(value) * 10**digits + Fraction(1, 2))
    whole, rest = divmod(units, 10**digits)
    sign = "-" if value < 0 and units else ""
    return f"{sign}{whole}.{rest:0{digits}d}" if digits else f"{sign}{whole}"


# --- Of one row -----------------------------------------------------------------------------------------


def _of_row(row: PaperRow, table: PaperTable) -> dict[str, Range]:
    found = {}
    for derivation in table.derived:
        if derivation.column in table.summaries and derivation.column not in row.printed:
            continue
        ranges = {name: _range(cell) for name in derivation.of if isinstance(cell := row.values[name], Figure)}
        found[derivation.column] = _HOW[derivation.how](ranges, derivation)
    return found


def _all(row: PaperRow, of_row: Mapping[str, Range]) -> dict[str, Range]:
    """Its figures as ranges, and its summaries as derived."""
    return {name: _range(cell) for name, cell in row.values.items() if isinstance(cell, Figure)} | dict(of_row)


def _range(figure: Figure) -> Range:
    return Range(figure.value, figure.value - figure.half_unit, figure.value + figure.half_unit)


def _minus(one: Range, other: Range) -> Range:
    return one - other


def _relative(one: Range, other: Range) -> Range | None:
    """100 (one - other) / other of numbers above 0; None if `other` may be 0."""
    if other.low <= 0:
        return None
    return Range(
        *(100 * (a / b - 1) for a, b in ((one.value, other.value), (one.low, other.high), (one.high, other.low)))
    )


# --- How summaries follow from columns ------------------------------------------------------------------


def _mean(ranges: Mapping[str, Range], _: Derivation) -> Range:
    def of(numbers: Sequence[Fraction]) -> Fraction:
        return sum(numbers, Fraction(0)) / len(numbers)

    found = list(ranges.values())
    return Range(of([r.value for r in found]), of([r.low for r in found]), of([r.high for r in found]))


def _square(ranges: Mapping[str, Range], _: Derivation) -> Range:
    (r,) = ranges.values()
    return Range(r.value**2, max(r.low, Fraction(0)) ** 2, r.high**2)


def _ratio(ranges: Mapping[str, Range], _: Derivation) -> Range:
    above, below = ranges.values()
    return Range(above.value / below.value, above.low / below.high, above.high / below.low)


def _best(ranges: Mapping[str, Range], _: Derivation) -> Range:
    """The column, a number itself, of the greatest figure."""
    best = Fraction(max(ranges, key=lambda name: ranges[name].value))
    return Range(best, best, best)


def _largest_variance(ranges: Mapping[str, Range], derivation: Derivation) -> Range:
    """Of `runs` numbers with the least, greatest and mean given: sum of squares from the mean over runs - 1.

    It is largest if all but one of the numbers are at either end. Between the means at which the number of those at
    the upper end changes it is convex in the mean, so that it is largest over a range of means at such a mean, or
    at an end of the range. All three are taken at what rounding leaves.
    """
    least, most, average = ranges.values()
    runs = derivation.runs

    def largest(low: Fraction, high: Fraction, mean: Fraction) -> Fraction:
        mean = min(max(mean, low), high)
        at_high = int((mean - low) * runs / (high - low)) if high > low else 0
        between = runs * mean - at_high * high - (runs - 1 - at_high) * low
        squares = at_high * (high - mean) ** 2 + (runs - 1 - at_high) * (low - mean) ** 2 + (between - mean) ** 2
        return squares / (runs - 1)

    low, high = least.low, most.high
    turns = [low + k * (high - low) / runs for k in range(runs + 1)]
    means = [average.low, average.high, *(turn for turn in turns if average.low < turn < average.high)]
    most_of_all = max(largest(low, high, mean) for mean in means)
    return Range(most_of_all, Fraction(0), most_of_all)


_HOW: dict[str, Callable[[Mapping[str, Range], Derivation], Range]] = {
    "mean": _mean,
    "square": _square,
    "ratio": _ratio,
    "best": _best,
    "largest variance": _largest_variance,
}


def _four(value: Fraction) -> str:
    return f"{float(value):.4g}"

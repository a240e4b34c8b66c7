"""Tables of the papers as data: a YAML each in `papers/`, read and checked here.

A file holds the figures exactly as they are printed, so that the rounding of each is known; where they are from;
how its summaries follow from its other figures (`derive` computes them anew); and our own results beside them.

    paper: dropclass            a key of papers.yaml
    table: B-1                  as the paper numbers it
    title, about, unit, notes   in our words
    kind: figures               figures; marks ("x" or "-"); words
    exact: true                 settings: not rounded
    number: 70                  how many rows the paper says there are
    space, names                the label space of the columns, and their names in it where they are printed otherwise
    columns, summaries          heads; summaries are means and the like over the columns
    derived: [{column, is}]     is: a key of HOW, with `of`, `first`, `runs`, `limits`
    rows: [{name, cells}]       cells: "1.0 2.0 | 1.5", the summaries behind the bar; or a list of texts.
                                minus, relative: [a, b]: the row is a - b, or 100 (a - b) / b, of two other rows
    ours: [{value, command, note, row, column, result}]   result: path of keys into a file of benchmarks/results
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from unify.errors import Problem, UnifyError, error
from unify.spaces import did_you_mean
from unify.yamlfile import read_yaml

KINDS = ("figures", "marks", "words")
HOW = ("mean", "square", "ratio", "best", "largest variance")  #: what `derive` computes a summary by
PAPERS = "papers.yaml"

_FIGURE = re.compile(r"(-?\d+(?:\.(\d+))?)(?:±(\d+(?:\.\d+)?))?")
_KEYS = {
    "paper", "table", "title", "about", "unit", "notes", "kind", "exact", "number", "space", "names", "columns",
    "summaries", "derived", "rows", "ours",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figure:
    """A number as printed (`text`). What it was rounded from lies within `half_unit` of `value`; ± `spread`."""

    text: str
    value: Fraction
    digits: int
    half_unit: Fraction
    spread: Fraction | None = None

    @classmethod
    def parse(cls, text: str, exact: bool = False) -> Figure | None:
        """None if `text` is no figure: -29.6, 48, 0.94±0.01."""
        if not (match := _FIGURE.fullmatch(text)):
            return None
        digits = len(match[2] or "")
        half_unit = Fraction(0) if exact else Fraction(1, 2 * 10**digits)
        return cls(text, Fraction(match[1]), digits, half_unit, Fraction(match[3]) if match[3] else None)


@dataclass(frozen=True, slots=True)
class Paper:
    """Where tables are from."""

    name: str
    title: str
    authors: str
    venue: str
    part: str

    def __str__(self) -> str:
        return f"{self.authors}, {self.title}, {self.venue}, {self.part}"


@dataclass(frozen=True, slots=True)
class PaperRow:
    """A line as printed: `values` by column, `printed` by summary; both empty where nothing is printed.

    `minus` and `relative` name two other rows that it follows from.
    """

    name: str
    values: Mapping[str, Figure | str]
    printed: Mapping[str, Figure]
    minus: tuple[str, str] | None = None
    relative: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Derivation:
    """`column` follows from the columns `of` (or the `first` ones, or all) by `how`; it `limits` another column."""

    column: str
    how: str
    of: tuple[str, ...]
    runs: int = 0
    limits: str = ""


@dataclass(frozen=True, slots=True)
class Ours:
    """A result of our own: of a figure (`row`, `column`), or of the whole table; `result`: where benchmarks keep it."""

    value: float
    command: str
    note: str
    row: str = ""
    column: str = ""
    result: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PaperTable:
    """One table. `name` is that of its file: "dropclass-b1"; `number` that in the paper: "B-1"."""

    name: str
    number: str
    paper: Paper
    title: str
    about: str
    unit: str
    kind: str
    columns: tuple[str, ...]
    summaries: tuple[str, ...]
    derived: tuple[Derivation, ...]
    rows: tuple[PaperRow, ...]
    space: str
    names: Mapping[str, str]
    notes: tuple[str, ...]
    ours: tuple[Ours, ...]

    @property
    def num_cells(self) -> int:
        """Figures, marks or words that are printed."""
        return sum(len(row.printed) + sum(cell != "-" for cell in row.values.values()) for row in self.rows)

    def row(self, name: str) -> PaperRow:
        return next(row for row in self.rows if row.name == name)


def load_tables(folder: Path | None = None) -> dict[str, PaperTable]:
    """Name → table, of all files in `folder` (by default our own), by paper as papers.yaml lists them.

    Raises `UnifyError` (bad-config) with everything that is wrong in any of the files.
    """
    folder = folder or Path(__file__).parent
    problems: list[Problem] = []
    papers = _papers(folder / PAPERS, problems)
    found = {}
    for path in sorted(folder.glob("*.yaml")):
        if path.name != PAPERS and (table := _table(path, papers, problems)) is not None:
            found[path.stem] = table
    if problems:
        raise UnifyError(*problems)
    place = {name: i for i, name in enumerate(papers)}
    return dict(sorted(found.items(), key=lambda item: (place[item[1].paper.name], item[0])))


def find_table(tables: Mapping[str, PaperTable], wanted: str) -> PaperTable:
    """The table called `wanted`: its name, or its number where just one has it; the case does not matter.

    Raises `UnifyError` (usage) if there is none, or more than one.
    """
    if (name := wanted.lower()) in tables:
        return tables[name]
    numbered = [table for table in tables.values() if table.number.lower() == name]
    if len(numbered) == 1:
        return numbered[0]
    if numbered:
        names = ", ".join(table.name for table in numbered)
        raise error("usage", "", f"several papers have a table {wanted}", f"give one of: {names}")
    guess = did_you_mean(name, tables)
    raise error("usage", "", f"no table '{wanted}'{guess}", f"known: {', '.join(tables)}")


# --- Reading --------------------------------------------------------------------------------------------

Wrong = Callable[[str, str], None]


def _papers(path: Path, problems: list[Problem]) -> dict[str, Paper]:
    found = {}
    for name, facts in (read_yaml(path, f"papers/{path.name}", "bad-config", problems) or {}).items():
        texts = facts if isinstance(facts, dict) else {}
        wanted = ("title", "authors", "venue", "part")
        if lacks := [key for key in wanted if not isinstance(texts.get(key), str)]:
            what = f"'{name}' has no text for: {', '.join(lacks)}"
            problems.append(Problem("bad-config", f"papers/{path.name}", what, "add it"))
        else:
            found[name] = Paper(name, *(texts[key] for key in wanted))
    return found


def _table(path: Path, papers: Mapping[str, Paper], problems: list[Problem]) -> PaperTable | None:
    """The table of one file, or None after adding all that is wrong with it to `problems`."""
    origin, before = f"papers/{path.name}", len(problems)

    def wrong(what: str, fix: str) -> None:
        problems.append(Problem("bad-config", origin, what, fix))

    data = read_yaml(path, origin, "bad-config", problems)
    if data is None:
        return None
    if unknown := sorted(set(data) - _KEYS):
        wrong(f"unknown keys: {', '.join(map(str, unknown))}", f"known: {', '.join(sorted(_KEYS))}")
    text = {key: _text(data.get(key, ""), key, wrong) for key in ("paper", "table", "title", "about", "unit", "space")}
    if lacks := [key for key in ("table", "title", "about") if not text[key]]:
        wrong(f"has no {', '.join(lacks)}", "add it")
    if text["paper"] not in papers:
        wrong(f"no paper '{text['paper']}'", f"papers/{PAPERS} has: {', '.join(papers)}")
    kind = data.get("kind")
    if kind not in KINDS:
        wrong(f"kind is {kind!r}", f"one of: {', '.join(KINDS)}")
    columns, summaries, notes = (_texts(data.get(key, []), key, wrong) for key in ("columns", "summaries", "notes"))
    if not columns:
        wrong("has no columns", "list their heads")
    if twice := [name for name, n in Counter(columns + summaries).items() if n > 1]:
        wrong(f"heads that stand twice: {', '.join(twice)}", "name each column once")
    names = data.get("names", {})
    if not isinstance(names, dict) or not all(k in columns and isinstance(v, str) for k, v in names.items()):
        wrong("names is not column: name", "name columns of the table only")
        names = {}
    derivations = [_derivation(entry, columns, wrong) for entry in _dicts(data.get("derived", []), "derived", wrong)]
    entries = _dicts(data.get("rows", []), "rows", wrong)
    rows = tuple(_row(entry, str(kind), columns, summaries, data.get("exact") is True, wrong) for entry in entries)
    _check_rows(rows, str(kind), data.get("number"), wrong)
    row_names, heads = {row.name for row in rows}, {*columns, *summaries}
    ours = [_ours(entry, row_names, heads, wrong) for entry in _dicts(data.get("ours", []), "ours", wrong)]
    if len(problems) > before:
        return None
    return PaperTable(
        name=path.stem,
        number=text["table"],
        paper=papers[text["paper"]],
        title=text["title"],
        about=text["about"],
        unit=text["unit"],
        kind=str(kind),
        columns=columns,
        summaries=summaries,
        derived=tuple(d for d in derivations if d is not None),
        rows=rows,
        space=text["space"],
        names=names,
        notes=notes,
        ours=tuple(o for o in ours if o is not None),
    )


def _row(
    entry: dict[str, Any], kind: str, columns: tuple[str, ...], summaries: tuple[str, ...], exact: bool, wrong: Wrong
) -> PaperRow:
    name = _text(entry.get("name", ""), "the name of a row", wrong)
    if unknown := sorted(set(entry) - {"name", "cells", "minus", "relative"}):
        wrong(f"row '{name}': unknown keys: {', '.join(unknown)}", "known: name, cells, minus, relative")
    parts = {key: _pair(entry[key], f"row '{name}': {key}", wrong) for key in ("minus", "relative") if key in entry}
    cells = entry.get("cells")
    if kind == "words":
        main, rest = list(_texts(cells, f"row '{name}': cells", wrong)), []
    else:
        before, bar, behind = _text(cells, f"row '{name}': cells", wrong).partition("|")
        main, rest = before.split(), behind.split()
        if bar and len(rest) != len(summaries):
            wrong(f"row '{name}' has {len(rest)} summaries for {len(summaries)} heads", "give one for each, or none")
    if len(main) != len(columns):
        wrong(f"row '{name}' has {len(main)} cells for {len(columns)} columns", "give one for each")
    values: dict[str, Figure | str] = {}
    printed: dict[str, Figure] = {}
    if kind == "marks" and (others := sorted({*main} - {"x", "-"})):
        wrong(f"row '{name}' has marks other than x and -: {', '.join(others)}", "mark with x")
    for heads, texts in ((columns, main), (summaries, rest)):
        for head, text in zip(heads, texts, strict=False):
            figure = Figure.parse(text, exact) if kind == "figures" else None
            if kind == "figures" and figure is None:
                wrong(f"row '{name}', {head}: '{text}' is no figure", "write 1.5, -1.5 or 1.5±0.1")
            elif figure is not None and heads is summaries:
                printed[head] = figure
            else:
                values[head] = figure or text
    return PaperRow(name, values, printed, parts.get("minus"), parts.get("relative"))


def _check_rows(rows: tuple[PaperRow, ...], kind: str, number: object, wrong: Wrong) -> None:
    """What concerns all rows together: how many, names, references from one to another."""
    if not rows or (number is not None and number != len(rows)):
        wrong(f"has {len(rows)} rows{'' if number is None else f', not {number}'}", "transcribe all of them")
    times = Counter(row.name for row in rows)
    if kind != "words" and (twice := [name for name, n in times.items() if n > 1]):
        wrong(f"rows that stand twice: {', '.join(twice)}", "name each row once")
    plain = {row.name for row in rows if not (row.minus or row.relative)}
    for row in rows:
        for other in (*(row.minus or ()), *(row.relative or ())):
            if other not in plain:
                wrong(f"row '{row.name}' follows from '{other}', which is no row of measured figures", "correct it")


def _derivation(entry: dict[str, Any], columns: tuple[str, ...], wrong: Wrong) -> Derivation | None:
    column, how = _text(entry.get("column", ""), "derived: column", wrong), entry.get("is")
    of = _texts(entry.get("of", list(columns)), f"derived {column}: of", wrong)
    first, runs, limits = entry.get("first", len(of)), entry.get("runs", 0), entry.get("limits", "")
    if how not in HOW:
        wrong(f"derived {column}: is {how!r}", f"one of: {', '.join(HOW)}")
    elif unknown := sorted(set(entry) - {"column", "is", "of", "first", "runs", "limits"}):
        wrong(f"derived {column}: unknown keys: {', '.join(unknown)}", "known: column, is, of, first, runs, limits")
    elif missing := [name for name in (*of, *([limits] if limits else [])) if name not in columns]:
        wrong(f"derived {column}: no columns: {', '.join(map(str, missing))}", "name columns of the table")
    elif not isinstance(first, int) or not 0 < first <= len(of) or not isinstance(runs, int):
        wrong(f"derived {column}: first or runs is no number that can be", f"first: 1 to {len(of)}; runs: a number")
    else:
        return Derivation(column, how, of[:first], runs, limits)
    return None


def _ours(entry: dict[str, Any], rows: set[str], heads: set[str], wrong: Wrong) -> Ours | None:
    value, row, column = entry.get("value"), entry.get("row", ""), entry.get("column", "")
    lacks = [key for key in ("command", "note") if not isinstance(entry.get(key), str)]
    if lacks or isinstance(value, bool) or not isinstance(value, int | float):
        wrong(f"ours: an entry without {', '.join(lacks) or 'a number as value'}", "give value, command and note")
    elif (row and row not in rows) or (column and column not in heads):
        wrong(f"ours: no figure '{row}', '{column}' in the table", "name a row and a column of it")
    elif unknown := sorted(set(entry) - {"value", "command", "note", "row", "column", "result"}):
        wrong(f"ours: unknown keys: {', '.join(unknown)}", "known: value, command, note, row, column, result")
    else:
        result = _texts(entry.get("result", []), "ours: result", wrong)
        return Ours(float(value), entry["command"], entry["note"], row, column, result)
    return None


def _text(value: object, what: str, wrong: Wrong) -> str:
    if not isinstance(value, str):
        wrong(f"{what} is no text: {value!r}", "put it in quotes")
        return ""
    return value


def _texts(value: object, what: str, wrong: Wrong) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        wrong(f"{what} is no list of texts", "write [a, b]; numbers in quotes")
        return ()
    return tuple(value)


def _pair(value: object, what: str, wrong: Wrong) -> tuple[str, str] | None:
    texts = _texts(value, what, wrong)
    if len(texts) == 2:
        return texts[0], texts[1]
    wrong(f"{what} does not name two rows", "write [a, b]")
    return None


def _dicts(value: object, what: str, wrong: Wrong) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        wrong(f"{what} is no list of `key: value` entries", "see any file beside it for the layout")
        return []
    return value

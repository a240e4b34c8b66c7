"""A paper's table for reading: printed figures, derived ones and our own beside each other; and the page on all."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from unify.papers.derive import Difference, Range, compared, derived, differences, rounded
from unify.papers.tables import Figure, Ours, PaperTable
from unify.report.ratio_tables import Row, Table


def as_table(table: PaperTable) -> Table:
    """Rows as printed; behind each summary what is derived for it; a row of our own results below each that has any.

    The notes are those of the table, the differences between printed and derived figures, and our results with
    their commands.
    """
    apart = [d.column for d in table.derived if d.column not in table.summaries]
    heads = [*table.columns, *(h for s in table.summaries for h in (s, _behind(s))), *map(_behind, apart)]
    rows = []
    for row, ranges in zip(table.rows, derived(table), strict=True):
        cells = [_cell(row.values[column]) for column in table.columns]
        for summary in table.summaries:
            figure = row.printed.get(summary)
            cells += [figure.text if figure else "", _shown(ranges.get(summary), figure)]
        cells += [_shown(ranges.get(column), row.values.get(column)) for column in apart]
        rows.append(Row(row.name, tuple(cells)))
        if ours := {o.column: o for o in table.ours if o.row == row.name}:
            rows.append(Row(f"{row.name}, ours", tuple(_number(ours[h].value) if h in ours else "" for h in heads)))
    return Table(tuple(heads), tuple(rows), tuple(_notes(table)))


def to_json(table: PaperTable) -> dict[str, Any]:
    """Figures as numbers; marks as true and false; `derived` unrounded; `ours` of a row by column, None without."""
    rows = []
    for row, ranges in zip(table.rows, derived(table), strict=True):
        figures = {column: cell for column, cell in row.values.items() if isinstance(cell, Figure)} | dict(row.printed)
        ours = {o.column: _of(o) for o in table.ours if o.row == row.name}
        rows.append(
            {
                "name": row.name,
                "values": {column: _value(cell, table.kind) for column, cell in row.values.items()},
                "spread": {column: float(f.spread) for column, f in figures.items() if f.spread is not None},
                "printed": {column: float(figure.value) for column, figure in row.printed.items()},
                "derived": {column: float(found.value) for column, found in ranges.items()},
                "ours": ours or None,
            }
        )
    paper = table.paper
    return {
        "table": table.name,
        "number": table.number,
        "paper": {name: getattr(paper, name) for name in ("name", "title", "authors", "venue", "part")},
        "title": table.title,
        "about": table.about,
        "unit": table.unit or None,
        "space": table.space or None,
        "names": dict(table.names),
        "columns": list(table.columns),
        "summaries": list(table.summaries),
        "rows": rows,
        "differences": [_difference(found) for found in differences(table)],
        "ours": [_of(o) for o in table.ours if not o.row],
        "notes": list(table.notes),
    }


def facts(table: PaperTable) -> dict[str, Any]:
    """A line of the list of tables: what it is, how many figures it has, how many of them were computed anew."""
    found = differences(table)
    return {
        "table": table.name,
        "number": table.number,
        "paper": table.paper.name,
        "title": table.title,
        "kind": table.kind,
        "figures": table.num_cells,
        "recomputed": compared(table),
        "differences": len(found),
        "unexplained": sum(not d.by_rounding for d in found),
        "ours": len(table.ours),
    }


def page(tables: Iterable[PaperTable]) -> str:
    """docs/papers.md: of every table what follows from its own figures, and what of it we have measured."""
    parts = ["# The papers' tables", _ABOUT, _overview(tables := list(tables))]
    for paper in dict.fromkeys(table.paper for table in tables):
        parts.append(f"## {paper.title}\n\n{paper.authors}, {paper.venue}, {paper.part}.")
        parts += [_section(table) for table in tables if table.paper == paper]
    return "\n\n".join(parts) + "\n"


_ABOUT = """Every figure of the tables of the four papers' supplements is in `unify/papers/`, as printed.
`unify papers TABLE` prints a table, with what follows from its own figures and with our results;
`--json`, `--format markdown` and `--format latex` give it in other forms. This page is what
`unify papers --format markdown` prints.

*Recomputed* counts the printed figures that follow from others (means, differences) and were computed anew;
*differ* how many of them come out otherwise in their last digit. A printed figure stands for every number that
rounds to it, so a derived one is a range: a difference is *open* where nothing in that range rounds to what is
printed. *Ours* counts our own results."""


def _overview(tables: Iterable[PaperTable]) -> str:
    heads = ("table", "paper", "number", "figures", "recomputed", "differ", "open", "ours")
    lines = ["| " + " | ".join(heads) + " |", "|" + "|".join(["---"] * 3 + ["---:"] * 5) + "|"]
    for table in tables:
        f = facts(table)
        name = table.name if table.kind == "figures" else f"{table.name} ({table.kind})"
        numbers = (f["figures"], f["recomputed"], f["differences"], f["unexplained"], f["ours"])
        lines.append("| " + " | ".join([name, table.paper.venue, table.number, *map(str, numbers)]) + " |")
    return "\n".join(lines)


def _section(table: PaperTable) -> str:
    lines = [f"### {table.number}: {table.title}", f"{_plain(_capital(table.about))}: `unify papers {table.name}`."]
    if table.notes:
        lines.append("\n".join(f"- {_plain(note)}" for note in table.notes))
    if done := compared(table):
        lines.append(f"{_capital(_count(table, done))}.")
    for title, chosen in _groups(table):
        lines.append(f"{_capital(title)}:\n\n" + "\n".join(f"- {_plain(str(d))}" for d in chosen))
    if table.ours:
        lines.append("Ours:\n\n" + "\n".join(f"- {_plain(_told(o))}" for o in table.ours))
    elif table.kind == "figures":
        lines.append("Not measured by us.")
    return "\n\n".join(lines)


def _count(table: PaperTable, done: int) -> str:
    different = sum(not found.is_limit for found in differences(table))
    return f"computed anew: {done} figure{'' if done == 1 else 's'}, {done - different} as printed"


def _groups(table: PaperTable) -> list[tuple[str, list[Difference]]]:
    """The differences that rounding explains, and those that it does not; neither if it is empty."""
    found = differences(table)
    groups = [
        ("rounding explains", [d for d in found if d.by_rounding]),
        ("rounding does not explain", [d for d in found if not d.by_rounding]),
    ]
    return [(title, chosen) for title, chosen in groups if chosen]


def _notes(table: PaperTable) -> list[str]:
    unit = f", in {table.unit}" if table.unit else ""
    notes = [f"Table {table.number}: {table.about}{unit}", *table.notes, f"source: {table.paper}"]
    if done := compared(table):
        notes.append(_count(table, done))
    for title, chosen in _groups(table):
        notes += [f"{title}:", *(f"  {d}" for d in chosen)]
    return notes + [f"ours: {_told(o)}" for o in table.ours]


def _told(ours: Ours) -> str:
    where = ", ".join(part for part in (ours.row, ours.column) if part)
    return f"{where + ': ' if where else ''}{_number(ours.value)}, {ours.note} ({ours.command})"


def _cell(cell: Figure | str) -> str:
    return cell.text if isinstance(cell, Figure) else "" if cell == "-" else cell


def _shown(found: Range | None, figure: Figure | str | None) -> str:
    """As the figure that it is to be compared with is rounded."""
    if found is None:
        return ""
    return rounded(found.value, figure.digits) if isinstance(figure, Figure) else _number(found.value)


def _number(value: Fraction | float) -> str:
    return f"{float(value):.4g}"


def _behind(head: str) -> str:
    return f"{head}, derived"


def _value(cell: Figure | str, kind: str) -> float | str | bool:
    if isinstance(cell, Figure):
        return float(cell.value)
    return cell == "x" if kind == "marks" else cell


def _of(ours: Ours) -> dict[str, Any]:
    return {"value": ours.value, "command": ours.command, "note": ours.note}


def _difference(found: Difference) -> dict[str, Any]:
    return {
        "row": found.row,
        "column": found.column,
        "printed": float(found.printed.value),
        "derived": float(found.derived.value),
        "low": float(found.derived.low),
        "high": float(found.derived.high),
        "rounding": found.by_rounding,
        "limit": found.is_limit,
    }


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:] if text[:2].islower() else text


def _plain(text: str) -> str:
    """Text of ours for Markdown, which would read emphasis into I* and mIoU*."""
    return text.replace("*", "\\*")

"""What commands print: tables and progress on a terminal, plain lines elsewhere, one JSON line for machines."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click


def json_line(value: Any) -> None:
    """`value` as one line of JSON on standard output."""
    click.echo(json.dumps(value, ensure_ascii=False))


def size(n_bytes: float) -> str:
    """12345678 → "12.3 MB" (decimal units)."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} B" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"


def counted(number: int, noun: str) -> str:
    """2, "shard" → "2 shards"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def what_was_done(mended: Sequence[str]) -> str:
    """To a version that stood there already."""
    return f"{counted(len(mended), 'damaged file')} made again" if mended else "nothing to do"


def duration(seconds: float) -> str:
    """75 → "1 min 15 s"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Aligned columns, numbers to the right: ruled on a terminal, bare in a pipe."""
    cells = [[f"{c:,}" if isinstance(c, int) else str(c) for c in row] for row in rows]
    right = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(head))]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        out = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for name, to_right in zip(head, right, strict=True):
            out.add_column(name, justify="right" if to_right else "left", overflow="fold")
        for row in cells:
            out.add_row(*(escape(c) for c in row))
        Console().print(out)
        return
    widths = [max(len(row[i]) for row in [list(head), *cells]) for i in range(len(head))]
    for row in [list(head), *cells]:
        parts = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)]
        click.echo("  ".join(parts).rstrip())


@contextlib.contextmanager
def progress(what: str, total: int, unit: str = "images", quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Yields `advance(units, bytes)`. On a terminal a bar with rate and time left; elsewhere a line
    at each tenth of the way; nothing if `quiet`. Writes to standard error.
    """
    if quiet:
        yield lambda units, n_bytes: None
        return
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} " + unit),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(what, total=total, rate="")
            done_bytes = 0

            def advance(units: int, n_bytes: int) -> None:
                nonlocal done_bytes
                done_bytes += n_bytes
                elapsed = bar.tasks[0].elapsed or 0.0
                rate = f"{size(done_bytes / elapsed)}/s" if elapsed > 0 and done_bytes else ""
                bar.update(task, advance=units, rate=rate)

            yield advance
        return
    done = last = 0

    def advance_plain(units: int, n_bytes: int) -> None:
        nonlocal done, last
        done += units
        if total and done * 10 // total > last:
            last = done * 10 // total
            click.echo(f"{what}: {done:,}/{total:,} {unit}", err=True)

    yield advance_plain

"""`unify diff`: what is different between two versions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unify.cli.options import json_option
from unify.cli.show import counted, json_line, table
from unify.errors import OK, REJECTS

if TYPE_CHECKING:
    from unify.diff import Difference, Instances, Names
    from unify.manifest import Manifest

#: Exit code for --exit-code: the command did its work, and there is something to look at. (1 is a bug.)
DIFFERENT = REJECTS
_LISTED = 5  #: names of a list that is printed; --json has them all
_ROWS = 20  #: of a table


@click.command("diff", short_help="Say what changed between two versions.")
@click.argument("a")
@click.argument("b")
@click.option("--root", default="out", show_default=True, help="Where versions given by name lie.")
@click.option("--pixels", is_flag=True, help="Compare the labels themselves: which class became which.")
@click.option("--exit-code", is_flag=True, help=f"Exit {DIFFERENT} if there is a difference.")
@json_option
def diff_command(a: str, b: str, root: str, pixels: bool, exit_code: bool, as_json: bool) -> int:
    """What changed from version A to version B: classes, rules, samples, columns, pixels, instances.

    Exit code 0 whether or not there is a difference, unless --exit-code is given.

    \b
    Example:
      unify diff out/cibm-union70/1.0.0 out/cibm-union70/2.0.0 --pixels
    """
    from unify.artifact import locate
    from unify.diff import difference

    one, other = locate(Path(a), root), locate(Path(b), root)
    found = difference(one, other, pixels=pixels)
    heads = [{key: getattr(v.manifest, key) for key in ("name", "version", "digest")} for v in (one, other)]
    if as_json:
        json_line({"a": heads[0], "b": heads[1], "same": found.is_none, **_plain(found)})
    else:
        _print(found, one.manifest, other.manifest)
    return DIFFERENT if exit_code and not found.is_none else OK


def _plain(found: Difference) -> dict[str, object]:
    plain = dataclasses.asdict(found)
    if found.exact is not None:
        plain["exact"] = [{"from": old, "to": new, "pixels": n} for (old, new), n in found.exact.items()]
    return plain


def _print(found: Difference, one: Manifest, other: Manifest) -> None:
    click.echo(f"{one.name} {one.version} → {other.name} {other.version}")
    if found.is_none:
        compared = "label pixels" if found.exact is not None else "pixels per class"
        if any(found.instances.samples):
            compared += ", and instances per class"
        click.echo(f"no difference: the same classes, rules, samples, raw files, columns and {compared}")
        return
    for field in found.fields:
        click.echo(f"{field.name}: {_value(field.before)} → {_value(field.after)}")
    for what, names in (("sources", found.sources), ("columns", found.columns), ("classes", found.classes)):
        for line in _lines(what, names):
            click.echo(line)
    if found.ids:
        moved = [f"{name} {old} → {new}" for name, (old, new) in found.ids.items()]
        click.echo(f"classes: {len(moved):,} have another id: {_some(moved)}")
    if found.rules:
        sources = len({rule.source for rule in found.rules})
        verb = "means" if len(found.rules) == 1 else "mean"
        click.echo(f"\nrules: {len(found.rules):,} raw classes of {counted(sources, 'source')} {verb} something else\n")
        _table(
            ["source", "raw class", "before", "after"],
            [(r.source, r.raw, _rule(r.before), _rule(r.after)) for r in found.rules],
        )
        click.echo()
    for line in _lines("samples", found.samples):
        click.echo(line)
    for what, ids in (("image", found.images), ("label", found.labels), ("instance", found.instances.files)):
        if ids:
            click.echo(f"{counted(len(ids), f'raw {what} file')} changed: {_some(ids)}")
    if found.pixels or found.moved:
        share = 100 * found.moved / max(1, found.common_pixels)
        click.echo(
            f"\npixels: in {counted(found.common, 'sample')} of both, at least {found.moved:,} of "
            f"{found.common_pixels:,} changed their class ({share:.2f} %)\n"
        )
        _table(*_changes(found.pixels))
    if found.instances.classes or found.instances.samples[0] != found.instances.samples[1]:
        click.echo(f"\ninstances, of the samples of both: {_instances(found.instances)}")
    if found.instances.classes:
        click.echo()
        _table(*_changes(found.instances.classes))
    if found.exact is not None:
        total = sum(found.exact.values())
        click.echo(
            f"\nlabels compared: {counted(total, 'pixel')} changed, {100 * total / max(1, found.common_pixels):.2f} %\n"
        )
        if found.exact:
            _table(["from", "to", "pixels"], [(old, new, n) for (old, new), n in found.exact.items()])


def _changes(numbers: Mapping[str, tuple[int, int]]) -> tuple[list[str], list[tuple[object, ...]]]:
    """A table of class → number in a and in b, the largest change first."""
    most_first = sorted(numbers.items(), key=lambda item: -abs(item[1][1] - item[1][0]))
    rows: list[tuple[object, ...]] = [(name, old, new, f"{new - old:+,}") for name, (old, new) in most_first]
    return ["class", "before", "after", "change"], rows


def _instances(found: Instances) -> str:
    """How many there are on either side."""
    sides = zip(found.total, found.samples, strict=True)
    return " → ".join(f"{total:,} in {counted(samples, 'sample')}" if samples else "none" for total, samples in sides)


def _lines(what: str, names: Names) -> Iterator[str]:
    for verb, listed in (("added", names.added), ("removed", names.removed)):
        if listed:
            yield f"{what}: {len(listed):,} {verb}: {_some(listed)}"
    if names.renamed:
        yield f"{what}: {len(names.renamed):,} renamed: {_some([f'{old} → {new}' for old, new in names.renamed])}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    table(head, rows[:_ROWS])
    if len(rows) > _ROWS:
        click.echo(f"... and {len(rows) - _ROWS:,} more (--json lists all)")


def _rule(rule: Sequence[str] | None) -> str:
    return "no rule" if rule is None else " | ".join(rule) or "void"


def _value(value: object) -> str:
    """Lists of names and steps in words."""
    if isinstance(value, list):
        return ", ".join(map(_value, value)) or "none"
    if isinstance(value, dict):
        rest = [f"{key} {_value(v)}" for key, v in value.items() if key != "operation" and v not in ([], False)]
        return f"{value['operation']} ({'; '.join(rest)})"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)

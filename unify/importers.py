"""Mapping tables from elsewhere, as mapping files of ours, and ours as SSSOM.

Two forms are read:

- SSSOM, the Simple Standard for Sharing Ontological Mappings (https://mapping-commons.github.io/sssom/): a TSV with
  a commented YAML header; a row relates a subject (source class) to an object (target class). Exact, close and broad
  matches are rules to one class. Narrow matches to several classes are one rule, "one of these". The object
  sssom:NoTermFound is void.
- A table with the columns source and target. Several targets stand with ";" between them, or in several rows; an
  empty target is void.

Every source class has to have a row: what nobody decided does not become void by itself.
"""

from __future__ import annotations

import csv
import io
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import yaml

from unify import __version__, storage
from unify.errors import Problem, UnifyError, error, shown
from unify.mapping import Mapping, Rule
from unify.spaces import LabelSpace, counted, did_you_mean, quoted

MAX_BYTES = 1 << 20  #: no two label spaces need a larger table
NOTHING = "NoTermFound"  #: SSSOM's object for a subject without a match
#: Predicates that make a rule to one class: the object is the same, nearly so, or holds more.
_ONE = ("exactMatch", "closeMatch", "broadMatch")
_SEVERAL = "narrowMatch"  # the object is a part of the subject

Row = dict[str, str]
Fault = tuple[int, str, str]  # line, or 0 for the whole file; what is wrong; what to do


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping as it was read. `comments`: source class → what the table says of its rule."""

    mapping: Mapping
    reference: str
    comments: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a row says: of all of a source class, of a part of it, or (a table of two columns) not which."""

    line: int
    source: str
    target: str | None  # None for void
    extent: Literal["all", "part", ""]
    comment: str


@dataclass(slots=True)
class _Reading:
    """A table being read: what its rows said so far, what is wrong, and which source classes have a row at all."""

    source: LabelSpace
    target: LabelSpace
    entries: list[_Entry] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    readable: bool = True


def read_table(path: Path, source: LabelSpace, target: LabelSpace, *, rest_void: bool = False) -> Table:
    """The mapping in the SSSOM or CSV file `path`, from `source` to `target`.

    Args:
        rest_void: source classes without a row become void, instead of being an error.

    Raises:
        UnifyError: not-found or bad-mapping, with all that is wrong and its line.
    """
    header, body, skipped = _split(_text(path))
    into = _Reading(source, target)
    reader = csv.reader(io.StringIO(body, newline=""), delimiter="\t" if "\t" in body.partition("\n")[0] else ",")
    try:
        columns = [name.strip() for name in next(reader, [])]
        sssom = "predicate_id" in columns
        if lacking := _missing_columns(columns, sssom):
            into.faults.append((skipped + 1, *lacking))
            into.readable = False
        start = reader.line_num
        for cells in reader if into.readable else ():
            line, start = skipped + start + 1, reader.line_num
            if row := _row(line, cells, columns, into.faults):
                (_read_sssom if sssom else _read_csv)(line, row, into)
    except csv.Error as e:
        into.faults.append((skipped + reader.line_num, f"is no line of a table: {e}", "save it as CSV or TSV"))
        into.readable = False
    rules = _rules(into, rest_void=rest_void)
    faults = into.faults
    reference = _reference(header, path.name, faults)
    if faults:
        problems = (
            Problem("bad-mapping", str(path), f"line {line}: {what}" if line else what, fix)
            for line, what, fix in sorted(faults, key=lambda f: (f[0] or 1 << 30, f[1]))
        )
        raise UnifyError(*problems)
    comments: dict[str, list[str]] = {}
    for entry in into.entries:
        if entry.comment and entry.comment not in comments.setdefault(entry.source, []):
            comments[entry.source].append(entry.comment)
    told = {name: "; ".join(said) for name, said in comments.items() if said}
    return Table(Mapping(source, target, rules, str(path)), reference, told)


def mapping_yaml(table: Table) -> str:
    """The text of `to_<target>/<source>.yaml`."""
    mapping = table.mapping
    head = {"from": mapping.source.name, "to": mapping.target.name, "reference": table.reference}
    lines = [f"{key}: {_scalar(value)}" for key, value in head.items()]
    lines.append("rules:")
    for name, rule in mapping.rules.items():
        value = _scalar(rule[0]) if len(rule) == 1 else _flow(rule)
        comment = table.comments.get(name, "")
        lines.append(f"  {_scalar(name)}: {value}" + (f"  # {comment}" if comment else ""))
    return "\n".join(lines) + "\n"


def write_mapping(table: Table, folder: Path, *, replace: bool = False) -> Path:
    """Write the mapping to `<folder>/to_<target>/<source>.yaml`, its path.

    Raises `UnifyError`: cannot-create if the file is there and not to be replaced; whatever `storage` raises.
    """
    mapping = table.mapping
    path = folder / f"to_{mapping.target.name}" / f"{mapping.source.name}.yaml"
    if path.exists() and not replace:
        raise error("cannot-create", path, "is there already", "choose another folder, or take it with --replace")
    text = mapping_yaml(table)
    rules = {
        name: (rule,) if isinstance(rule, str) else tuple(rule) for name, rule in yaml.safe_load(text)["rules"].items()
    }
    assert rules == mapping.rules, "the text says something else than the mapping"
    storage.make_dirs(path.parent)
    storage.write_file(path, text.encode())
    return path


def sssom_tsv(mapping: Mapping, reference: str = "", comments: dict[str, str] | None = None) -> str:
    """The mapping as SSSOM: a row a rule, or one for each class of a set. `read_table` reads it back.

    A rule to one class is an exact match where no other source class has it and the names agree, else a broad one.
    """
    source, target = mapping.source.name, mapping.target.name
    head = {
        "curie_map": {_prefix(source): f"urn:unify:{_part(source)}:", _prefix(target): f"urn:unify:{_part(target)}:"},
        "mapping_set_id": f"urn:unify:{_part(source)}:to:{_part(target)}",
        "mapping_set_title": f"{source} to {target}",
        "mapping_set_description": reference or f"{source} to {target}",
        "license": "https://w3id.org/sssom/license/unspecified",  # the standard asks for one
        "mapping_tool": "unify",
        "mapping_tool_version": __version__,
    }
    text = "".join(f"#{line}\n" for line in yaml.safe_dump(head, sort_keys=False, width=1 << 20).splitlines())
    out = io.StringIO()
    out.write(text)
    write = csv.writer(out, delimiter="\t", lineterminator="\n")
    write.writerow(_SSSOM_COLUMNS)
    users: dict[str, int] = {}
    for rule in mapping.rules.values():
        for name in rule:
            users[name] = users.get(name, 0) + 1
    for name, rule in mapping.rules.items():
        subject = (f"{_prefix(source)}:{_part(name)}", name)
        comment = (comments or {}).get(name, "")
        for end in rule:
            same = len(rule) == 1 and users[end] == 1 and name.casefold() == end.casefold()
            predicate = _SEVERAL if len(rule) > 1 else "exactMatch" if same else "broadMatch"
            row = (*subject, f"skos:{predicate}", f"{_prefix(target)}:{_part(end)}", end)
            write.writerow((*row, "semapv:ManualMappingCuration", comment))
        if not rule:
            row = (*subject, "skos:exactMatch", f"sssom:{NOTHING}", "")
            write.writerow((*row, "semapv:ManualMappingCuration", comment))
    return out.getvalue()


_SSSOM_COLUMNS = (
    "subject_id", "subject_label", "predicate_id", "object_id", "object_label", "mapping_justification", "comment",
)  # fmt: skip


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise error(
                "bad-mapping", path, f"is larger than {MAX_BYTES:,} bytes", "is it a table of two label spaces?"
            )
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise error("not-found", path, "no such file") from None
    except OSError as e:
        raise error("bad-mapping", path, f"cannot be read: {e.strerror}", "check the file") from e
    except UnicodeDecodeError as e:
        raise error("bad-mapping", path, f"is not UTF-8 text (byte {e.start})", "save it as UTF-8") from e


def _split(text: str) -> tuple[str, str, int]:
    """The commented header without its "#", the table, and how many lines the header has."""
    lines = text.splitlines(keepends=True)
    count = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "".join(line[1:] for line in lines[:count]), "".join(lines[count:]), count


def _missing_columns(columns: Sequence[str], sssom: bool) -> tuple[str, str] | None:
    if twice := {name for name in columns if name and columns.count(name) > 1}:
        return f"columns that stand twice: {quoted(sorted(twice))}", "keep one of each"
    if sssom:
        lacking = [side for side in ("subject", "object") if not {f"{side}_id", f"{side}_label"} & set(columns)]
        if lacking:
            return f"no column {' and no '.join(f'{s}_id or {s}_label' for s in lacking)}", "SSSOM has them"
    elif lacking := [name for name in ("source", "target") if name not in columns]:
        what = f"no column {quoted(lacking)}, but {quoted(columns) or 'none'}"
        return what, "the first line names the columns: source,target, or those of SSSOM"
    return None


def _row(line: int, cells: list[str], columns: Sequence[str], faults: list[Fault]) -> Row | None:
    """A row by its columns; None for an empty one, or one with more cells than columns."""
    if not any(cell.strip() for cell in cells):
        return None
    if len(cells) > len(columns):
        faults.append((line, f"{len(cells)} cells, but {len(columns)} columns", "put text with a separator in quotes"))
        return None
    padded = [*cells, *[""] * (len(columns) - len(cells))]
    return {name: cell.strip() for name, cell in zip(columns, padded, strict=True)}


def _read_sssom(line: int, row: Row, into: _Reading) -> None:
    subject = _term(row, "subject", into.source, line, into.faults)
    nothing = NOTHING in (_local(row.get("object_id", "")), row.get("object_label", ""))
    end = None if nothing else _term(row, "object", into.target, line, into.faults)
    if subject is not None:
        into.named.add(subject)
    predicate = _local(row["predicate_id"])
    if row.get("predicate_modifier"):
        into.faults.append((line, f"a row that says '{row['predicate_modifier']}' gives no rule", "remove it"))
    elif predicate not in (*_ONE, _SEVERAL) and not nothing:
        fix = f"known: {', '.join(f'skos:{p}' for p in (*_ONE, _SEVERAL))}; or remove the row"
        into.faults.append((line, f"'{row['predicate_id']}' gives no rule", fix))
    elif subject is not None and (end is not None or nothing):
        extent: Literal["all", "part"] = "part" if predicate == _SEVERAL and not nothing else "all"
        into.entries.append(_Entry(line, subject, end, extent, _one_line(row.get("comment", ""))))


def _read_csv(line: int, row: Row, into: _Reading) -> None:
    name = _known(row["source"], into.source, line, into.faults)
    ends = [end.strip() for end in row["target"].split(";")] if row["target"] else []
    if row["target"] in into.target.names:  # a name may have a ";" of its own
        ends = [row["target"]]
    found = [_known(end, into.target, line, into.faults) for end in ends]
    if name is not None:
        into.named.add(name)
        if None not in found:
            comment = _one_line(row.get("comment", ""))
            into.entries += [_Entry(line, name, end, "", comment) for end in found or [None]]


def _term(row: Row, side: str, space: LabelSpace, line: int, faults: list[Fault]) -> str | None:
    """The class that a row names: by its label, or by the part of its id behind the prefix."""
    label, local = row.get(f"{side}_label", ""), _local(row.get(f"{side}_id", ""))
    if label in space.names and local in space.names and label != local:
        faults.append((line, f"the {side} is '{label}' by its label and '{local}' by its id", "make them agree"))
        return None
    return _known(local if local in space.names else label or local, space, line, faults)


def _known(name: str, space: LabelSpace, line: int, faults: list[Fault]) -> str | None:
    if name in space.names:
        return name
    what = f"'{name}' is no class of {space.name}{did_you_mean(name, space.names)}" if name else "an empty name"
    faults.append((line, what, "correct the name"))
    return None


def _rules(into: _Reading, *, rest_void: bool) -> dict[str, Rule]:
    """Source class → rule. Faults: rows of a class that are at odds, and classes without a row."""
    faults, rules = into.faults, dict[str, Rule]()
    for name in into.source.names:
        own = [entry for entry in into.entries if entry.source == name]
        first: dict[str | None, int] = {}
        for entry in own:
            if entry.target in first:
                to = f"'{entry.target}'" if entry.target else "void"
                what = f"'{name}' to {to} again, first on line {first[entry.target]}"
                faults.append((entry.line, what, "keep one of them"))
            first.setdefault(entry.target, entry.line)
        ends = tuple(end for end in first if end is not None)
        if None in first and ends:
            what = f"'{name}' is void here, but {quoted(ends)} on line {first[ends[0]]}"
            faults.append((first[None], what, "keep one of them"))
        extents = {entry.extent for entry in own if entry.target is not None}
        if "all" in extents and len(ends) > 1:
            what = f"'{name}' is matched as a whole, and to {quoted(ends)}"
            faults.append((own[-1].line, what, "one exact or broad match, or only narrow ones (one of these)"))
        if extents == {"part"} and len(ends) == 1:
            what = f"'{name}' has one narrow match, {quoted(ends)}, and the rest of it none"
            faults.append((own[-1].line, what, "add the others, or say that it is a broad or exact match"))
        rules[name] = ends
    missing = [name for name in into.source.names if name not in into.named]
    if missing and into.readable and not rest_void:
        verb = "has" if len(missing) == 1 else "have"
        what = f"{counted(missing, 'source class')} {verb} no row: {quoted(missing)}"
        faults.append((0, what, "add rows, or make them void with --rest void"))
    return rules


def _reference(header: str, name: str, faults: list[Fault]) -> str:
    """Where the rules are from: what the header of the set says of itself, else the file's name."""
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(header, Loader=yaml.SafeLoader)):
            faults.append((1, "an alias (*) in the header", "write it out"))
            return ""
        data = yaml.safe_load(header)
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        what = f"the header is not YAML: {getattr(e, 'problem', None) or 'cannot be read'}"
        faults.append((mark.line + 1 if mark else 1, what, "a comment line is `#key: value`"))
        return ""
    if isinstance(data, dict):
        for key in ("mapping_set_description", "mapping_set_title", "mapping_set_id"):
            if isinstance(data.get(key), str) and data[key].strip():
                return _one_line(data[key])
    return name


def _local(curie: str) -> str:
    """What stands behind the prefix of an id, %20 and the like decoded."""
    return urllib.parse.unquote(curie.rpartition(":")[2])


def _prefix(space: str) -> str:
    return "".join(c if c.isalnum() or c in "_.-" else "_" for c in space)


def _part(name: str) -> str:
    return urllib.parse.quote(name, safe="")


def _one_line(text: str) -> str:
    return shown(" ".join(text.split()))


def _scalar(text: str) -> str:
    """`text` as YAML takes it for text, in quotes where it would be something else: no, 12, null, "a: b"."""
    return str(yaml.safe_dump(text, allow_unicode=True, width=1 << 20)).removesuffix("...\n").strip()


def _flow(rule: Rule) -> str:
    return str(yaml.safe_dump(list(rule), allow_unicode=True, width=1 << 20, default_flow_style=True)).strip()

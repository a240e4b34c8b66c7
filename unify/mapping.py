"""Mappings: from the classes of one label space to those of another, by name.

A mapping has a rule for every source class: one target class, none (void), or several, which says
"one of these, the source does not tell which". Mappings are data, `mappings/to_<target>/<source>.yaml`.

Where a published table can be read in two ways, or two publications differ, the other way is a variant: a file
`mappings/to_<target>/<source>@<variant>.yaml` with the rules that it has otherwise, and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from unify.errors import Problem, UnifyError, error
from unify.spaces import (
    ALIASES,
    VOID,
    LabelSpace,
    attempt,
    counted,
    did_you_mean,
    find_files,
    folders,
    load_space,
    odd_name,
    origin_of,
    quoted,
    read_aliases,
    read_space,
    resolve,
    space_names,
)
from unify.yamlfile import read_yaml

Rule = tuple[str, ...]  #: () = void, one name, or several = "one of these", in the target's order


@dataclass(frozen=True, slots=True)
class Mapping:
    """`rules`: source class -> target classes, for every source class, in the source's order.

    `variants`: names of those that had a part in the rules, sorted.
    Raises `UnifyError` (bad-mapping, bad-space) with everything that is wrong.
    """

    source: LabelSpace
    target: LabelSpace
    rules: dict[str, Rule]
    origin: str = field(default="", compare=False)
    variants: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        origin = self.origin or f"mapping {self.source.name} to {self.target.name}"
        if problems := _rule_problems(self.source, self.target, self.rules, origin):
            raise UnifyError(*problems)
        position = {name: i for i, name in enumerate(self.target.names)}
        rules = {name: tuple(sorted(self.rules[name], key=position.__getitem__)) for name in self.source.names}
        object.__setattr__(self, "rules", rules)
        object.__setattr__(self, "variants", tuple(sorted(set(self.variants))))

    @property
    def sets(self) -> tuple[Rule, ...]:
        """The distinct rules of several classes, in the target's order."""
        return in_order(self.target, self.rules.values())

    def annotated(self) -> npt.NDArray[np.bool_]:
        """(K,) bool: the target classes that the source annotates, alone or within a set."""
        named = {name for rule in self.rules.values() for name in rule}
        return np.array([name in named for name in self.target.names], dtype=np.bool_)

    def by_id(self, codes: dict[Rule, int]) -> dict[int, int]:
        """Raw id as declared (so -1 stays -1) -> code. `codes` as `rule_codes` gives them."""
        return {c.id: codes[self.rules[c.name]] for c in self.source.classes}

    def compile(self, codes: dict[Rule, int]) -> npt.NDArray[np.uint8]:
        """(256,) uint8: pixel value -> code. Values that are no class of the source become 255:
        count them apart, since they are also an error in the data.
        """
        table = np.full(256, VOID, np.uint8)
        for raw_id, code in self.by_id(codes).items():
            table[raw_id % 256] = code
        return table


@dataclass(frozen=True, slots=True)
class Variant:
    """Another reading of a mapping: the `rules` (source class -> target classes) that it has otherwise.

    `why`: what the table leaves open; `reference`: where these rules are from; `base`: the mapping it differs from.
    """

    name: str
    base: Mapping
    rules: dict[str, Rule]
    why: str
    reference: str
    origin: str = field(default="", compare=False)


def rule_codes(target: LabelSpace, sets: Sequence[Rule]) -> dict[Rule, int]:
    """Every rule's code in a label image: a class its id, set i the code K + i, void 255."""
    codes: dict[Rule, int] = {(): VOID}
    codes |= {(c.name,): c.id for c in target.classes}
    codes |= {rule: len(target) + i for i, rule in enumerate(sets)}
    return codes


def in_order(target: LabelSpace, rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The distinct set-valued ones of `rules`, sorted by the ids of their members."""
    position = {name: i for i, name in enumerate(target.names)}
    return tuple(sorted({r for r in rules if len(r) > 1}, key=lambda rule: [position[name] for name in rule]))


def compose(first: Mapping, then: Mapping) -> Mapping:
    """a→c from a→b and b→c: the union of what the members of a rule become.

    If a member of a set becomes void, the whole rule does: the pixel may be that member, and then
    none of the classes that remain would be true.
    """
    assert first.target.names == then.source.names, f"{first.target.name} is not {then.source.name}"
    rules: dict[str, Rule] = {}
    for name, members in first.rules.items():
        images = [then.rules[member] for member in members]
        rules[name] = tuple({n: None for image in images for n in image}) if all(images) else ()
    origin = f"{first.origin} then {then.origin}" if first.origin and then.origin else ""
    return Mapping(first.source, then.target, rules, origin, (*first.variants, *then.variants))


def with_variants(base: Mapping, variants: Sequence[Variant]) -> Mapping:
    """`base` with the rules that the variants have otherwise; the order of `variants` does not matter.

    Raises `UnifyError` (bad-mapping) that names every rule for which two of them differ.
    """
    rules = dict(base.rules)
    chosen: dict[str, Variant] = {}
    problems: list[Problem] = []
    for variant in sorted(variants, key=lambda v: v.name):
        for name, rule in variant.rules.items():
            if name in chosen and rules[name] != rule:
                other = chosen[name]
                what = f"variants '{other.name}' and '{variant.name}' differ for '{name}': "
                what += f"{rule_text(rules[name])} and {rule_text(rule)}"
                problems.append(Problem("bad-mapping", base.origin, what, "choose one of them"))
            rules[name] = rule
            chosen[name] = variant
    if problems:
        raise UnifyError(*problems)
    names = (*base.variants, *(v.name for v in variants))
    return Mapping(base.source, base.target, rules, base.origin, names)


def rule_text(rule: Rule) -> str:
    """A rule in a message: 'car', 'truck' | 'bus', or void."""
    return " | ".join(f"'{name}'" for name in rule) or "void"


def by_name(source: LabelSpace, target: LabelSpace) -> Mapping:
    """Every source class to the target class of the same name.

    Raises `UnifyError` (bad-mapping) that names those without one.
    """
    if missing := [n for n in source.names if n not in target.names]:
        what = f"{counted(missing, 'class')} of {source.name} not in {target.name}: {quoted(missing)}"
        raise error("bad-mapping", "", what, "write a mapping file, or choose another target")
    return Mapping(source, target, {name: (name,) for name in source.names})


def load_mapping(source: str, target: str, search: Sequence[Path] = (), variants: Sequence[str] = ()) -> Mapping:
    """The mapping in `to_<target>/<source>.yaml`, in `search` or else in `mappings/`, with these variants.

    Raises `UnifyError`: usage (no such space, or variant), bad-space, or bad-mapping (no such file, or whatever
    is wrong with it, all at once; variants that contradict each other).
    """
    problems: list[Problem] = []
    source_space = attempt(problems, lambda: load_space(source, search))
    target_space = attempt(problems, lambda: load_space(target, search))
    if problems or source_space is None or target_space is None:
        raise UnifyError(*problems)
    source, target = source_space.name, target_space.name  # which may have been given by an alias
    files = find_files(f"to_{target}/*.yaml", search)
    if source not in files:
        what = f"there is no mapping from {source} to {target}"
        fix = f"write this file, with a rule for each of the {len(source_space)} classes of {source}"
        raise error("bad-mapping", f"to_{target}/{source}.yaml", what, fix)
    mapping = read_mapping(files[source], search)
    if not variants:
        return mapping
    check_variants(variants, {source: variant_names(source, target, search)})
    return with_variants(mapping, [load_variant(source, target, name, search) for name in dict.fromkeys(variants)])


def mapped_spaces(target: str, search: Sequence[Path] = ()) -> tuple[str, ...]:
    """Names of the spaces with a mapping file to `target`, sorted."""
    target = resolve(target, search)
    if target not in space_names(search):
        return ()
    return tuple(name for name in find_files(f"to_{target}/*.yaml", search) if "@" not in name)


def variant_names(source: str, target: str, search: Sequence[Path] = ()) -> tuple[str, ...]:
    """Names of the variants that the mapping from `source` to `target` has, sorted."""
    files = find_files(f"to_{resolve(target, search)}/{resolve(source, search)}@*.yaml", search)
    return tuple(name.partition("@")[2] for name in files)


def load_variant(source: str, target: str, name: str, search: Sequence[Path] = ()) -> Variant:
    """The variant in `to_<target>/<source>@<name>.yaml`.

    Raises `UnifyError`: usage (there is none; the known are listed), bad-space or bad-mapping.
    """
    source, target = resolve(source, search), resolve(target, search)
    files = find_files(f"to_{target}/{source}@*.yaml", search)
    if f"{source}@{name}" not in files:
        check_variants([name], {source: variant_names(source, target, search)})
    return read_variant(files[f"{source}@{name}"], search)


def check_variants(wanted: Iterable[str], known: dict[str, tuple[str, ...]], hint: str = "") -> None:
    """Raise `UnifyError` (usage) unless each of `wanted` is a variant of some source. `known`: source -> names."""
    every = dict.fromkeys(name for names in known.values() for name in names)
    listed = "; ".join(f"{source}: {', '.join(names)}" for source, names in known.items() if names)
    fix = (f"known: {listed}" if listed else "none of these mappings has variants") + hint
    unknown = [name for name in dict.fromkeys(wanted) if name not in every]
    problems = [Problem("usage", "", f"no variant '{n}' here{did_you_mean(n, every)}", fix) for n in unknown]
    if problems:
        raise UnifyError(*problems)


def read_mapping(path: Path, search: Sequence[Path] = ()) -> Mapping:
    """The mapping in the file `path`, whose folder and name say what it maps: `to_<target>/<source>.yaml`.

    Raises `UnifyError` (bad-mapping, bad-space) with all that is wrong.
    """
    names = {"from": path.stem, "to": path.parent.name.removeprefix("to_")}
    found, rules, _, problems = _read(path, names, ("reference",), search)
    if len(found) == 2 and rules is not None:
        problems += _rule_problems(found["from"], found["to"], rules, origin_of(path))
        if not problems:
            return Mapping(found["from"], found["to"], rules, origin_of(path))
    raise UnifyError(*problems)


def read_variant(path: Path, search: Sequence[Path] = ()) -> Variant:
    """The variant in the file `path`: `to_<target>/<source>@<variant>.yaml`, beside the mapping it differs from.

    Raises `UnifyError` (bad-mapping, bad-space) with all that is wrong: also rules that the mapping has just so,
    and a variant that says neither why nor from where.
    """
    origin = origin_of(path)
    source, _, name = path.stem.partition("@")
    names = {"from": source, "to": path.parent.name.removeprefix("to_"), "variant": name}
    found, rules, texts, problems = _read(path, names, ("reference", "why"), search)
    if odd_name(name) or "@" in name:
        problems.append(Problem("bad-mapping", origin, f"an odd name of a variant: {name!r}", "use a-z, 0-9 and -"))
    for key in ("why", "reference"):
        if not texts.get(key):
            problems.append(Problem("bad-mapping", origin, f"it has no `{key}`", "say it in a sentence"))
    base = attempt(problems, partial(_base_of, path, source, search)) if len(found) == 2 else None
    if base is not None and rules is not None:
        more = _rule_problems(base.source, base.target, rules, origin, complete=False)
        if not rules:
            more.append(Problem("bad-mapping", origin, "it has no rules", "name those that differ"))
        if same := [n for n, rule in rules.items() if n in base.rules and set(rule) == set(base.rules[n])]:
            what = f"rules that {base.origin} has just so: {quoted(same)}"
            more.append(Problem("bad-mapping", origin, what, "keep those that differ"))
        problems += more
        if not problems:
            position = {n: i for i, n in enumerate(base.target.names)}
            ordered = {n: tuple(sorted(rules[n], key=position.__getitem__)) for n in base.source.names if n in rules}
            return Variant(name, base, ordered, texts["why"], texts["reference"], origin)
    raise UnifyError(*problems)


def _base_of(path: Path, source: str, search: Sequence[Path]) -> Mapping:
    """The mapping beside a variant, or, of a variant in a user's folder, that of another folder."""
    beside = path.with_name(f"{source}.yaml")
    if beside.is_file():
        return read_mapping(beside, search)
    return load_mapping(source, path.parent.name.removeprefix("to_"), search)


def _read(
    path: Path, names: dict[str, str], texts: Sequence[str], search: Sequence[Path]
) -> tuple[dict[str, LabelSpace], dict[str, Rule] | None, dict[str, str], list[Problem]]:
    """A file of rules: its spaces by "from" and "to", rules, texts, and what is wrong so far."""
    origin = origin_of(path)
    problems: list[Problem] = []
    data = read_yaml(path, origin, "bad-mapping", problems)
    if data is None:
        return {}, None, {}, problems
    problems += [Problem("bad-mapping", origin, what, fix) for what, fix in _layout_faults(data, names, texts)]
    known = space_names(search)
    found: dict[str, LabelSpace] = {}
    for key in ("from", "to"):
        name = names[key]
        if name not in known:
            what = f"it maps {key} '{name}', which is no label space{did_you_mean(name, known)}"
            problems.append(Problem("bad-mapping", origin, what, f"known: {', '.join(known)}"))
        elif space := attempt(problems, partial(load_space, name, search)):
            found[key] = space
    table = data.get("rules")
    rules = {n: _rule(v) for n, v in table.items() if isinstance(n, str)} if isinstance(table, dict) else None
    return found, rules, {key: text for key in texts if isinstance(text := data.get(key), str)}, problems


def validate_all(search: Sequence[Path] = ()) -> None:
    """Read every file of `mappings/` and of the folders in `search`.

    Raises `UnifyError` with all that is wrong in any of them, each problem once.
    """
    from unify.projection import read_projection  # which is built on this module

    problems: list[Problem] = []
    for folder in folders(search):
        for path in sorted(folder.rglob("*.y*ml")):
            match path.relative_to(folder).parts:
                case ("spaces", name) if name.endswith(".yaml"):
                    attempt(problems, partial(read_space, path))
                case (name,) if name == ALIASES:
                    attempt(problems, partial(read_aliases, path, search))
                case ("projections", name) if name.endswith(".yaml"):
                    attempt(problems, partial(read_projection, path, search))
                case (to, name) if to.startswith("to_") and name.endswith(".yaml"):
                    read = read_variant if "@" in name else read_mapping
                    attempt(problems, partial(read, path, search))
                case _:
                    fix = "name it spaces/<name>.yaml, to_<target>/<source>.yaml, to_<target>/<source>@<variant>.yaml, "
                    fix += f"projections/<source>_to_<target>.yaml or {ALIASES}"
                    problems.append(Problem("bad-mapping", origin_of(path), "this file is never read", fix))
    if problems:
        raise UnifyError(*dict.fromkeys(problems))


def _layout_faults(data: dict[str, object], names: dict[str, str], texts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What is wrong with the keys and types of a file of rules, whatever its spaces are."""
    if unknown := [k for k in data if k not in (*names, *texts, "rules")]:
        yield f"unknown keys: {quoted(unknown)}", "see any file beside it for the layout"
    for key, name in names.items():
        if data.get(key) != name:
            yield f"`{key}` is {data.get(key)!r}, but its path says '{name}'", "make them agree"
    for key in texts:
        if not isinstance(data.get(key, ""), str):
            yield f"{key} has to be text", "say where the rules are from" if key == "reference" else "say why"
    rules = data.get("rules")
    if not isinstance(rules, dict):
        yield "rules has to be lines of `source class: target class`", "see any file beside it for the layout"
        return
    if odd := [k for k in rules if not isinstance(k, str)]:
        yield f"source classes that are not text: {', '.join(map(repr, odd))}", "put them in quotes"
    if wrong := [f"'{k}': {v!r}" for k, v in rules.items() if not _is_rule(v)]:
        yield f"wrong rules: {', '.join(wrong)}", "a rule is one name, [] for void, or [a, b] for one of several"


def _is_rule(value: object) -> bool:
    if isinstance(value, list):
        return len(value) != 1 and all(isinstance(v, str) for v in value)
    return isinstance(value, str)


def _rule(value: object) -> Rule:
    """The rule in a YAML value; of one that is no rule, () to go on checking with."""
    if not _is_rule(value):
        return ()
    return tuple(value) if isinstance(value, list) else (str(value),)


def _rule_problems(
    source: LabelSpace, target: LabelSpace, rules: dict[str, Rule], origin: str, *, complete: bool = True
) -> list[Problem]:
    faults = _rule_faults(source, target, rules, complete)
    problems = [Problem("bad-mapping", origin, what, fix) for what, fix in faults]
    if not target.is_target:
        what = f"{origin} maps to it, but its ids are not 0..{len(target) - 1} in this order"
        problems.append(Problem("bad-space", target.origin or target.name, what, "number its classes from 0"))
    return problems


def _rule_faults(
    source: LabelSpace, target: LabelSpace, rules: dict[str, Rule], complete: bool
) -> Iterator[tuple[str, str]]:
    """Everything wrong with rules between these spaces: (what, what to do)."""
    missing = [n for n in source.names if n not in rules]
    if missing and complete:
        verb = "has" if len(missing) == 1 else "have"
        yield f"{counted(missing, 'source class')} {verb} no rule: {quoted(missing)}", "add a rule, or [] for void"
    if extra := [n for n in rules if n not in source.names]:
        hints = ", ".join(f"'{n}'{did_you_mean(n, (complete and missing) or source.names)}" for n in extra)
        yield f"rules for what is no class of {source.name}: {hints}", "remove them, or correct the names"
    if wrong := [(n, t) for n, rule in rules.items() for t in rule if t not in target.names]:
        hints = ", ".join(f"'{t}'{did_you_mean(t, target.names)} for '{n}'" for n, t in wrong)
        yield f"rules to what is no class of {target.name}: {hints}", "correct the names, or write [] for void"
    if twice := [n for n, rule in rules.items() if len(set(rule)) < len(rule)]:
        yield f"a class twice in the rules for {quoted(twice)}", "name it once"
    sets = {frozenset(rule) for rule in rules.values() if len(rule) > 1}
    if len(target) + len(sets) > VOID:
        what = f"{len(target)} target classes and {len(sets)} sets of them"
        yield what, f"8-bit labels hold {VOID} of both together"

"""A taxonomy: one target space, and how each source of a data set maps to it.

It says everything about the values in the label images that a build writes, is stored with them as
`taxonomy.json`, and its digest changes when the meaning of any pixel may have changed.

Codes in a label image: 0..K-1 are the classes, K + i is set i ("one of these classes"), 255 is void.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from unify.errors import Problem, UnifyError, error
from unify.mapping import (
    Mapping,
    Rule,
    by_name,
    check_variants,
    compose,
    in_order,
    load_mapping,
    mapped_spaces,
    rule_codes,
    variant_names,
)
from unify.spaces import VOID, LabelSpace, attempt, load_space, naive_union, parse_space

FORMAT = 1  #: of `taxonomy.json`; a reader refuses what is newer


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """`mappings`: source name -> mapping from its raw space to `space`, in the order of the build.

    Raises `UnifyError` (bad-mapping) if classes and sets together are more than 8 bits hold.
    """

    space: LabelSpace
    mappings: dict[str, Mapping]

    def __post_init__(self) -> None:
        assert all(m.target == self.space for m in self.mappings.values()), "a mapping to another space"
        if len(self.space) + len(self.sets) > VOID:
            what = f"{len(self.space)} target classes and {len(self.sets)} sets of them"
            raise error("bad-mapping", self.space.name, what, f"8-bit labels hold {VOID} of both together")

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(self.mappings)

    @property
    def sets(self) -> tuple[Rule, ...]:
        """The set-valued rules of all sources, in the order of their codes K, K + 1, ..."""
        return in_order(self.space, (rule for m in self.mappings.values() for rule in m.rules.values()))

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the variants that any of its mappings is read by, sorted."""
        return tuple(sorted({name for m in self.mappings.values() for name in m.variants}))

    @property
    def suffix(self) -> str:
        """What names of versions end in, after the space: "-wilddash-policy"; "" without variants."""
        return "".join(f"-{name}" for name in self.variants)

    @property
    def null_mask(self) -> npt.NDArray[np.bool_]:
        """(S, K) bool: True where source s annotates class k at all, alone or within a set."""
        rows = [m.annotated() for m in self.mappings.values()]
        return np.array(rows, dtype=np.bool_).reshape(len(rows), len(self.space))

    def table(self, source: str) -> npt.NDArray[np.uint8]:
        """(256,) uint8: raw pixel value of `source` -> code. Values outside its space become 255.

        Raises `UnifyError` (unknown-dataset) if there is no such source.
        """
        if source not in self.mappings:
            raise error("unknown-dataset", "", f"no source '{source}' here", f"known: {', '.join(self.mappings)}")
        return self.mappings[source].compile(rule_codes(self.space, self.sets))

    def members(self, code: int) -> npt.NDArray[np.bool_]:
        """(K,) bool: the classes that a pixel with this code may be: one, several, or (void) none.

        Raises `UnifyError` (unknown-id) for a code that no label image of this taxonomy has.
        """
        size = len(self.space) + len(self.sets)
        if not (0 <= code < size or code == VOID):
            what = f"code {code} is no class of {self.space.name}, no set of classes, and not void ({VOID})"
            raise error("unknown-id", "", what, f"codes are 0..{size - 1} and {VOID}")
        rules = {c: rule for rule, c in rule_codes(self.space, self.sets).items()}
        return np.array([name in rules[code] for name in self.space.names], dtype=np.bool_)

    def id2label(self) -> dict[str, str]:
        """{"0": first class, ...}, as `transformers` reads it."""
        return {str(c.id): c.name for c in self.space.classes}

    def digest(self) -> str:
        """BLAKE3 (hex) of the canonical JSON: the same only for equal taxonomies, sources in one order."""
        text = json.dumps(self.to_json(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return blake3(text.encode()).hexdigest()

    def to_json(self) -> dict[str, object]:
        """Everything, in plain types; `from_json` gives an equal taxonomy back."""
        return {
            "format": FORMAT,
            "space": _space_json(self.space),
            "sets": [list(rule) for rule in self.sets],
            "sources": [
                {
                    "name": name,
                    "space": _space_json(m.source),
                    "rules": {raw: list(rule) for raw, rule in m.rules.items()},
                    "annotates": _annotates(m),
                    **({"variants": list(m.variants)} if m.variants else {}),
                }
                for name, m in self.mappings.items()
            ],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], path: str = "taxonomy.json") -> Taxonomy:
        """The taxonomy that `to_json` gave; `path` is for messages.

        Raises `UnifyError`: newer-format, or bad-artifact if anything is missing, of a wrong type, or
        at odds with the rest.
        """
        fix = "verify the data set that it is from"
        try:
            if type(data["format"]) is int and data["format"] > FORMAT:
                what = f"its format is {data['format']}, and this version reads up to {FORMAT}"
                raise error("newer-format", path, what, "update unify")
            space = parse_space(data["space"], path)
            mappings = {
                row["name"]: Mapping(
                    parse_space(row["space"], path),
                    space,
                    {raw: tuple(rule) for raw, rule in row["rules"].items()},
                    path,
                    tuple(row.get("variants", ())),
                )
                for row in data["sources"]
            }
            taxonomy = cls(space, mappings)
        except UnifyError as e:
            if e.problems[0].kind == "newer-format":
                raise
            raise error("bad-artifact", path, "; ".join(p.what for p in e.problems), fix) from e
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            raise error("bad-artifact", path, f"is no taxonomy: {e!r}", fix) from e
        if taxonomy.to_json() != data:
            raise error("bad-artifact", path, "its parts do not agree: the rules give other sets or null masks", fix)
        return taxonomy

    def overview(self) -> dict[str, object]:
        """For people and scripts: names, colours, each source's complete raw id -> code table, and
        the classes that each annotates. "variants" and "sets" (codes K, K + 1, ...) where there are any, and
        "ids" where, in a raw space, the id of a class is not its position.
        """
        codes = rule_codes(self.space, self.sets)
        shown: dict[str, object] = {
            "name": self.space.name,
            "void": self.space.void,
            "classes": list(self.space.names),
            "colors": [list(c.color) for c in self.space.classes],
            "sources": {
                name: {str(raw_id): code for raw_id, code in m.by_id(codes).items()}
                for name, m in self.mappings.items()
            },
            "null_masks": {name: _annotates(m) for name, m in self.mappings.items()},
        }
        if self.variants:
            shown["variants"] = {name: list(m.variants) for name, m in self.mappings.items() if m.variants}
        if self.sets:
            shown["sets"] = [list(rule) for rule in self.sets]
        if not self.space.is_target:
            shown["ids"] = [c.id for c in self.space.classes]
        return shown


def taxonomy_for(
    spaces: dict[str, str],
    train_spaces: dict[str, str],
    target: str | None = None,
    search: Sequence[Path] = (),
    variants: Sequence[str] = (),
) -> Taxonomy:
    """The taxonomy of a build.

    `spaces`, `train_spaces`: source name -> name of its raw space, and of its training space.
    `target` None is the naive union of the training spaces, which raw classes reach through their
    training space by name. A named target is reached by `to_<target>/<raw space>.yaml`; where that
    is absent, through the training space by `to_<target>/<training space>.yaml`, or by name, if the
    target has all its names. `variants`: each is applied to all mappings on the way that have it.

    Raises `UnifyError` with all that is wrong or missing, for all sources; usage for a variant that no
    mapping has.
    """
    assert spaces.keys() == train_spaces.keys(), "two different sets of sources"
    problems: list[Problem] = []
    space = attempt(problems, partial(_target_space, train_spaces.values(), target, search))
    mappings: dict[str, Mapping] = {}
    if space is not None:
        named = space.name if target is not None else None
        known = {source: known_variants(raw, train_spaces[source], named, search) for source, raw in spaces.items()}
        hint = "" if named else "; a named --space has its own"
        attempt(problems, partial(check_variants, variants, known, hint))
        for source, raw in spaces.items():
            wanted = [variant for variant in variants if variant in known[source]]
            mapping = attempt(problems, partial(_route, raw, train_spaces[source], space, named, search, wanted))
            if mapping is not None:
                mappings[source] = mapping
    if problems or space is None:
        raise UnifyError(*dict.fromkeys(problems))
    return Taxonomy(space, mappings)


def taxonomy_of(target: str, search: Sequence[Path] = (), variants: Sequence[str] = ()) -> Taxonomy:
    """The target space `target` with every raw space that has a mapping file to it, by its name.

    `variants` as in `taxonomy_for`.
    """
    problems: list[Problem] = []
    space = attempt(problems, partial(load_space, target, search))
    names = mapped_spaces(target, search)
    known = {name: variant_names(name, target, search) for name in names}
    if space is not None:
        attempt(problems, partial(check_variants, variants, known))
    loaded = {
        name: attempt(problems, partial(load_mapping, name, target, search, [v for v in variants if v in known[name]]))
        for name in names
    }
    if problems or space is None:
        raise UnifyError(*dict.fromkeys(problems))
    return Taxonomy(space, {name: mapping for name, mapping in loaded.items() if mapping is not None})


def known_variants(raw: str, train: str, target: str | None, search: Sequence[Path] = ()) -> tuple[str, ...]:
    """The variants that can be had on the way from `raw` to `target` (None: a naive union), as a build goes it."""
    if target is None:
        return variant_names(raw, train, search)
    if raw in mapped_spaces(target, search):
        return variant_names(raw, target, search)
    return (*variant_names(raw, train, search), *variant_names(train, target, search))


def _target_space(train: Iterable[str], target: str | None, search: Sequence[Path]) -> LabelSpace:
    if target is not None:
        return load_space(target, search)
    problems: list[Problem] = []
    spaces = [attempt(problems, partial(load_space, name, search)) for name in train]
    if problems:
        raise UnifyError(*problems)
    return naive_union(space for space in spaces if space is not None)


def _route(
    raw: str, train: str, space: LabelSpace, target: str | None, search: Sequence[Path], variants: Sequence[str]
) -> Mapping:
    """From `raw` to `space`: by a mapping file if it is the named `target`, or else through `train`.

    A naive union goes by no file, whatever its name: other data sets may have a union as large.
    """
    mapped = mapped_spaces(target, search) if target is not None else ()

    def load(source: str, end: str) -> Mapping:
        return load_mapping(source, end, search, [v for v in variants if v in variant_names(source, end, search)])

    if raw in mapped:
        return load(raw, space.name)
    trained = load(raw, train)
    if trained.target.name in mapped:
        return compose(trained, load(trained.target.name, space.name))
    try:
        return compose(trained, by_name(trained.target, space))
    except UnifyError as e:
        what = f"there is no such file, and by name {e.problems[0].what}"
        fix = f"write it, with a rule for each of the {len(trained.source)} classes of {raw}, or choose another target"
        raise error("bad-mapping", f"to_{space.name}/{raw}.yaml", what, fix) from e


def _space_json(space: LabelSpace) -> dict[str, object]:
    classes = [{"id": c.id, "name": c.name, "color": list(c.color)} for c in space.classes]
    return {"name": space.name, "void": space.void, "classes": classes}


def _annotates(mapping: Mapping) -> list[str]:
    return [name for name, here in zip(mapping.target.names, mapping.annotated(), strict=True) if here]

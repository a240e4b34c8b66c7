"""Projections: what a net that answers in one label space says in another, for evaluation.

UniSeg scores unseen test sets so (Kim et al., ECCV 2022, §4): of the classes of the union keep those whose name is
a class of the test set, and take the best of them. By the relation graph, a class of the test set gets its
relatives' probability too: their sum or their maximum.

Names that differ for one thing are data: `mappings/projections/<source>_to_<target>.yaml`. A class of the test set
without a counterpart is listed, and left out of the score.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from unify.errors import Problem, UnifyError, error
from unify.spaces import (
    LabelSpace,
    attempt,
    did_you_mean,
    find_files,
    load_space,
    origin_of,
    quoted,
    resolve,
    space_names,
)
from unify.yamlfile import read_yaml

if TYPE_CHECKING:
    import networkx as nx

Members = tuple[str, ...]
How = Literal["sum", "max"]


@dataclass(frozen=True, slots=True)
class Projection:
    """`members`: every class of `target`, in its order -> the classes of `source` that count for it, in their order.

    No member: the class has no counterpart, and no score. A class of `source` may count for several.
    Raises `UnifyError` (bad-mapping) with everything that is wrong.
    """

    source: LabelSpace
    target: LabelSpace
    members: dict[str, Members]
    origin: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        origin = self.origin or f"projection of {self.source.name} to {self.target.name}"
        faults = list(_member_faults(self.source, self.target, self.members))
        if missing := [n for n in self.target.names if n not in self.members]:
            faults.append((f"nothing is said of {quoted(missing)}", "name their members, or () for none"))
        faults += [
            (f"the ids of {space.name} are not 0..{len(space) - 1}", "take a space that nets are trained in")
            for space in (self.source, self.target)
            if not space.is_target
        ]
        if faults:
            raise UnifyError(*(Problem("bad-mapping", origin, what, fix) for what, fix in faults))
        position = {name: i for i, name in enumerate(self.source.names)}
        ordered = {n: tuple(sorted(self.members[n], key=position.__getitem__)) for n in self.target.names}
        object.__setattr__(self, "members", ordered)

    @property
    def scored(self) -> tuple[str, ...]:
        """The classes of the target that have a counterpart: what a mean IoU is over."""
        return tuple(name for name, members in self.members.items() if members)

    @property
    def missing(self) -> tuple[str, ...]:
        """The classes of the target without any counterpart."""
        return tuple(name for name, members in self.members.items() if not members)

    @property
    def unused(self) -> tuple[str, ...]:
        """The classes of the source that count for none of the target's."""
        used = {name for members in self.members.values() for name in members}
        return tuple(name for name in self.source.names if name not in used)

    def matrix(self) -> npt.NDArray[np.float32]:
        """(K, T) float32 of 0 and 1: 1 where class k of the source counts for class t of the target.

        `p @ matrix` is the sum over members; the maximum is that of `p[..., matrix[:, t] > 0]`.
        """
        index = {name: i for i, name in enumerate(self.source.names)}
        matrix = np.zeros((len(self.source), len(self.target)), np.float32)
        for t, members in enumerate(self.members.values()):
            matrix[[index[name] for name in members], t] = 1
        return matrix

    def project_probabilities(
        self, p: npt.NDArray[np.floating[Any]], how: How = "sum", axis: int = 1
    ) -> npt.NDArray[np.floating[Any]]:
        """Scores of the target's classes from those of the source's.

        Args:
            p: float, K long on `axis`: (B, K, H, W), or (..., K) with axis=-1. Probabilities in [0, 1] for "sum";
                for "max" any scores that can be compared, also logits.
            how: "sum" of the members' scores, or their "max". Sigmoid scores may sum to more than 1.

        Returns:
            The same dtype and shape, T long on `axis`. Classes without a counterpart have 0 (sum) or -inf (max).

        Raises:
            UnifyError: usage, if `p` has another number of classes, or `how` is neither.
        """
        if how not in ("sum", "max"):
            raise error("usage", "", f"how={how!r}", "take 'sum' or 'max'")
        if p.ndim == 0 or not -p.ndim <= axis < p.ndim or p.shape[axis] != len(self.source):
            what = f"scores of shape {p.shape} have no {len(self.source)} classes of {self.source.name} on axis {axis}"
            raise error("usage", "", what, "give (B, K, H, W), or the axis of the classes")
        last = np.moveaxis(p, axis, -1)
        if how == "sum":
            projected = last @ self.matrix().astype(p.dtype)
        else:
            projected = np.full((*last.shape[:-1], len(self.target)), -np.inf, p.dtype)
            for t, column in enumerate(self.matrix().T > 0):
                if column.any():
                    projected[..., t] = last[..., column].max(axis=-1)
        return np.ascontiguousarray(np.moveaxis(projected, -1, axis))

    def predict(self, p: npt.NDArray[np.floating[Any]], how: How = "sum", axis: int = 1) -> npt.NDArray[np.uint8]:
        """The target's class with the highest score: `p` without `axis`, uint8. Only classes with a counterpart win.

        Of equal scores the first counts. Raises `UnifyError` as `project_probabilities`, and (usage) if no
        class of the target has a counterpart.
        """
        if not self.scored:
            what = f"no class of {self.target.name} has a counterpart in {self.source.name}"
            raise error("usage", "", what, "choose another space to project to")
        scores = np.moveaxis(self.project_probabilities(p, how, axis), axis, -1)
        ids = np.array([i for i, members in enumerate(self.members.values()) if members], np.uint8)
        return np.asarray(ids[scores[..., ids].argmax(axis=-1)])


@dataclass(frozen=True, slots=True)
class Counterparts:
    """What a projection file says beyond equal names, of the classes of `target`.

    `members`: -> the classes of `source` that are the same. `fallbacks`: -> what to take where a part of
    `source` has none of these. `without`: -> why there is none, though there may be the name.
    """

    source: LabelSpace
    target: LabelSpace
    members: dict[str, Members]
    fallbacks: dict[str, Members]
    without: dict[str, str]
    reference: str
    origin: str = field(default="", compare=False)


def by_name(source: LabelSpace, target: LabelSpace, search: Sequence[Path] = ()) -> Projection:
    """Every class of `target` from the class of `source` of the same name, as UniSeg evaluates.

    Where there is a file `projections/<source>_to_<target>.yaml`, its counterparts come first. A file from a space
    that has all the names of `source` and more serves too (union70's the unions of three of its data sets); of
    several such, the smallest space's. What is not there is left without.

    Raises `UnifyError` (bad-mapping, bad-space) with all that is wrong in the file.
    """
    said = _counterparts(source, target, search)
    members: dict[str, Members] = {}
    for name in target.names:
        choices: list[Members] = [(name,)]
        if said:
            choices = [said.members.get(name, (name,)), said.fallbacks.get(name, ())]
            choices = [] if name in said.without else choices
        found = (tuple(m for m in choice if m in source.names) for choice in choices)
        members[name] = next((choice for choice in found if choice), ())
    return Projection(source, target, members, said.origin if said else "")


def from_graph(
    graph: nx.DiGraph,
    source: LabelSpace,
    target: LabelSpace,
    *,
    min_share: float = 0.0,
    transitive: bool = False,
    search: Sequence[Path] = (),
) -> Projection:
    """By name, and with every class of `source` whose pixels are also of a class that counts by name.

    Args:
        graph: directed; its nodes are names of classes of `source`, and an edge a → b says that pixels of a are
            also b (bicyclist → rider). An edge may have `share`, 0..1: how much of a is also b; 1 without it.
        target: classes of the test set. A class of `source` that counts by name for one of them counts for no
            other: where parking is a class of the test set, road does not get its probability.
        min_share: leave out edges with a smaller share.
        transitive: a → b → c makes a count for c. The paper's relations go one step.

    Raises:
        UnifyError: usage, for a graph without directions, or with nodes or shares that are none.
    """
    if not graph.is_directed():
        raise error("usage", "", "the relation graph has no directions", "an edge a → b says that a is also b")
    faults = [f"'{node}' is no class of {source.name}" for node in graph if node not in source.names]
    shares = {(a, b): data.get("share", 1.0) for a, b, data in graph.edges(data=True)}
    for (a, b), share in shares.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            faults.append(f"the share of '{a}' → '{b}' is {share!r}")
    if faults:
        fix = "nodes are names of classes, shares are numbers from 0 to 1"
        raise UnifyError(*(Problem("usage", "relation graph", what, fix) for what in faults))
    parts: dict[str, set[str]] = {}
    for (a, b), share in shares.items():
        if share >= min_share and a != b:
            parts.setdefault(b, set()).add(a)
    named = by_name(source, target, search)
    anchors = {name for members in named.members.values() for name in members}
    members: dict[str, Members] = {}
    for name, own in named.members.items():
        reached, frontier = set(own), set(own)
        while frontier:
            frontier = {a for b in frontier for a in parts.get(b, ())} - reached - (anchors - set(own))
            reached |= frontier
            if not transitive:
                break
        members[name] = tuple(n for n in source.names if n in reached)
    return Projection(source, target, members, "relation graph")


def read_projection(path: Path, search: Sequence[Path] = ()) -> Counterparts:
    """The counterparts in the file `path`: `projections/<source>_to_<target>.yaml`.

    Every class of the target has to have the name of a class of the source, or members, or a reason why it has
    none. Raises `UnifyError` (bad-mapping, bad-space) with all that is wrong.
    """
    origin = origin_of(path)
    problems: list[Problem] = []
    data = read_yaml(path, origin, "bad-mapping", problems)
    if data is None:
        raise UnifyError(*problems)
    spaces: dict[str, LabelSpace] = {}
    for key in ("from", "to"):
        name = data.get(key)
        if not isinstance(name, str) or name not in space_names(search):
            what = f"`{key}` is {name!r}, which is no label space{did_you_mean(str(name), space_names(search))}"
            problems.append(Problem("bad-mapping", origin, what, f"known: {', '.join(space_names(search))}"))
        elif space := attempt(problems, partial(load_space, name, search)):
            spaces[key] = space
    problems += [Problem("bad-mapping", origin, what, fix) for what, fix in _layout_faults(data, path.stem)]
    members, fallbacks = (_table(data.get(key)) for key in ("members", "fallbacks"))
    reasons = data.get("without")
    without = {n: why for n, why in reasons.items() if isinstance(why, str)} if isinstance(reasons, dict) else {}
    if len(spaces) == 2:
        faults = _faults(spaces["from"], spaces["to"], members, fallbacks, without)
        problems += [Problem("bad-mapping", origin, what, fix) for what, fix in faults]
    if problems:
        raise UnifyError(*problems)
    reference = str(data.get("reference", ""))
    return Counterparts(spaces["from"], spaces["to"], members, fallbacks, without, reference, origin)


def projection_files(search: Sequence[Path] = ()) -> dict[tuple[str, str], Path]:
    """(source, target) → the file of counterparts."""
    files = find_files("projections/*.yaml", search)
    pairs = {tuple(stem.partition("_to_")[::2]): path for stem, path in files.items() if "_to_" in stem}
    return {(source, target): path for (source, target), path in pairs.items()}


def _counterparts(source: LabelSpace, target: LabelSpace, search: Sequence[Path]) -> Counterparts | None:
    files = {a: path for (a, b), path in projection_files(search).items() if b == resolve(target.name, search)}
    if source.name in files and load_space(source.name, search).names == source.names:
        return read_projection(files[source.name], search)
    said = [read_projection(path, search) for path in files.values()]
    wider = [s for s in said if set(s.source.names) >= set(source.names) and s.target == target]
    return min(wider, key=lambda s: (len(s.source), s.source.name), default=None)


def _table(value: object) -> dict[str, Members]:
    if not isinstance(value, dict):
        return {}
    return {n: tuple(v) if isinstance(v, list) else (v,) for n, v in value.items() if _is_members(v)}


def _is_members(value: object) -> bool:
    if isinstance(value, list):
        return len(value) > 1 and all(isinstance(v, str) for v in value)
    return isinstance(value, str)


def _layout_faults(data: dict[str, object], stem: str) -> Iterator[tuple[str, str]]:
    """What is wrong with the keys and types of a projection file."""
    if unknown := [k for k in data if k not in ("from", "to", "reference", "members", "fallbacks", "without")]:
        yield f"unknown keys: {quoted(unknown)}", "see any file beside it for the layout"
    if stem != f"{data.get('from')}_to_{data.get('to')}":
        yield f"its name is {stem}.yaml, not {data.get('from')}_to_{data.get('to')}.yaml", "make them agree"
    if not isinstance(data.get("reference"), str):
        yield "it has no `reference`", "say where the counterparts are from"
    for key in ("members", "fallbacks"):
        table = data.get(key, {})
        if not isinstance(table, dict):
            yield f"{key} has to be lines of `target class: source class`", "see any file beside it for the layout"
        elif wrong := [f"{k!r}: {v!r}" for k, v in table.items() if not _is_members(v)]:
            yield f"wrong {key}: {', '.join(wrong)}", "one name, or [a, b] for several that count together"
    table = data.get("without", {})
    if not isinstance(table, dict) or not all(isinstance(why, str) and why for why in table.values()):
        yield "without has to be lines of `target class: why`", "see any file beside it for the layout"


def _faults(
    source: LabelSpace,
    target: LabelSpace,
    members: dict[str, Members],
    fallbacks: dict[str, Members],
    without: dict[str, str],
) -> Iterator[tuple[str, str]]:
    reasons: dict[str, Members] = dict.fromkeys(without, ())
    for table in (members, fallbacks, reasons):
        yield from _member_faults(source, target, table)
    if silent := [n for n in target.names if n not in source.names and n not in members and n not in without]:
        what = f"nothing is said of classes of {target.name} that {source.name} does not name: {quoted(silent)}"
        yield what, "give their members, or say under `without` why there are none"
    if twice := [n for n in without if n in members or n in fallbacks]:
        yield f"with members and without: {quoted(twice)}", "say one of both"
    if same := [n for n, own in members.items() if own == (n,)]:
        yield f"members that the name says already: {quoted(same)}", "remove them"


def _member_faults(source: LabelSpace, target: LabelSpace, members: dict[str, Members]) -> Iterator[tuple[str, str]]:
    if extra := [n for n in members if n not in target.names]:
        hints = ", ".join(f"'{n}'{did_you_mean(n, target.names)}" for n in extra)
        yield f"what is no class of {target.name}: {hints}", "remove it, or correct the name"
    if wrong := [(n, m) for n, own in members.items() for m in own if m not in source.names]:
        hints = ", ".join(f"'{m}'{did_you_mean(m, source.names)} for '{n}'" for n, m in wrong)
        yield f"what is no class of {source.name}: {hints}", "correct the names"
    if repeated := [n for n, own in members.items() if len(set(own)) < len(own)]:
        yield f"a class twice among the members of {quoted(repeated)}", "name it once"

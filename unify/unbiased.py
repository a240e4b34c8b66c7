"""The sets that `unify erase` makes of a version, as one test of bias: which class each is for, and what it lacks.

A version does not say which class it is for; its name does: `<parent>-erase-for-<class>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from unify.artifact import Artifact, list_artifacts, locate
from unify.errors import Problem, UnifyError, error
from unify.spaces import LabelSpace


@dataclass(frozen=True, slots=True)
class Unbiased:
    """`artifact`: images without the classes `erased`. `target`: the class that it is for; None for any other."""

    artifact: Artifact
    erased: tuple[str, ...]
    target: str | None


def find_sets(words: Sequence[str], root: str | Path = "out") -> list[Artifact]:
    """Versions by path or name; a name before `-for-` stands for the newest of each set of that name below `root`.

    Raises `UnifyError` (not-found).
    """
    found: list[Artifact] = []
    for word in words:
        newest: dict[str, Artifact] = {}
        for artifact in list_artifacts(root):
            if artifact.manifest.name.startswith(f"{word}-for-"):
                newest[artifact.manifest.name] = artifact
        found += newest.values() or [locate(word, root)]
    return found


def sets_of(artifacts: Iterable[Artifact], parent: Artifact) -> tuple[Unbiased, ...]:
    """What each is for.

    Raises `UnifyError` (usage) with all that are no erased sets, or not of `parent`; that are for no class or the
    same class; and if there is one for any class beside others.
    """
    space = parent.taxonomy.space
    problems, found = [], []
    for artifact in artifacts:
        name = f"{artifact.manifest.name} {artifact.manifest.version}"
        step = (artifact.manifest.recipe.get("steps") or [{}])[-1]
        if step.get("operation") != "erase":
            fix = "make it with `unify erase`"
            problems.append(Problem("usage", str(artifact.path), f"{name} is no erased set", fix))
        elif parent.digest not in artifact.manifest.parents:
            what = f"{name} was not made from {parent.manifest.name} {parent.manifest.version} ({parent.digest[:12]})"
            problems.append(Problem("usage", str(artifact.path), what, "give --data the version it was made from"))
        else:
            found.append(Unbiased(artifact, tuple(step["classes"]), target_of(artifact.manifest.name, space)))
    targets = [one.target for one in found]
    for target in dict.fromkeys(t for t in targets if targets.count(t) > 1):
        what = f"{targets.count(target)} sets are for {'any class' if target is None else repr(target)}"
        problems.append(Problem("usage", "--unbiased", what, "give one for each class"))
    if None in targets and len(set(targets)) > 1:
        what = "a set for any class beside sets for one class each"
        problems.append(Problem("usage", "--unbiased", what, "give one or the others"))
    if problems:
        raise UnifyError(*problems)
    if not found:
        raise error("usage", "--unbiased", "there is no set", "make them with `unify erase --influence`")
    return tuple(found)


def target_of(name: str, space: LabelSpace) -> str | None:
    """The class of `space` that a set of this name is for; the longest, where several fit.

    Without a "-for-" in the name it is for none in particular.
    """
    _, found, rest = name.rpartition("-for-")
    if not found:
        return None
    fits = [c for c in space.names if rest == _slug(c) or rest.startswith(_slug(c) + "-")]
    return max(fits, key=lambda c: (rest == _slug(c), len(_slug(c))), default=None)


def _slug(name: str) -> str:
    """As `unify.erase` has it in names of versions."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")

"""Lists of classes: names in a file, those most prone to bias (mIoU*), those that are rarest (mIoU†)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unify.errors import Problem, UnifyError, error
from unify.spaces import did_you_mean

if TYPE_CHECKING:
    from unify.artifact import Artifact
    from unify.spaces import LabelSpace

MOST_VULNERABLE = 9  #: classes of mIoU* in Table B-1 of the DropClass supplement
_LAYOUT = 'write a name a line, or JSON: ["road", "sky"] or {"0": "road", "1": "sky"}'


def read_names(file: Path) -> tuple[str, ...]:
    """The names in a file, in order: a name a line, a JSON list, or a JSON object of the numbers 0, 1, ... -> name.

    Raises `UnifyError`: not-found (66); bad-config (78) for anything else, an empty list, and a name that is there
    twice.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as e:
        raise error("not-found", file, f"cannot be read: {e.strerror}", "give a file of names of classes") from e
    except UnicodeDecodeError as e:
        raise error("bad-config", file, "is no text", _LAYOUT) from e
    found: object = [line.strip() for line in text.splitlines() if line.strip()]
    if text.lstrip()[:1] in ("[", "{"):
        try:
            found = json.loads(text)
        except ValueError as e:
            raise error("bad-config", file, f"is not JSON: {e}", _LAYOUT) from e
    if isinstance(found, dict):
        numbers = {str(i): name for i, name in enumerate(found.get(str(i)) for i in range(len(found)))}
        if set(numbers) != set(found):
            raise error("bad-config", file, f"its numbers are not 0 to {len(found) - 1}", _LAYOUT)
        found = list(numbers.values())
    if not isinstance(found, list) or not found or not all(isinstance(name, str) and name for name in found):
        raise error("bad-config", file, "holds no list of names", _LAYOUT)
    if twice := sorted({name for name in found if found.count(name) > 1}):
        raise error("bad-config", file, f"names twice: {', '.join(twice)}", "give every class its own name")
    return tuple(found)


def of_space(names: tuple[str, ...], space: LabelSpace, where: object) -> tuple[str, ...]:
    """`names`, all of which are classes of `space`. Raises `UnifyError` (usage) with each that is none."""
    wrong = [n for n in names if n not in space.names]
    if wrong:
        hints = [f"no class '{name}' in {space.name}{did_you_mean(name, space.names)}" for name in wrong]
        raise UnifyError(*(Problem("usage", str(where), hint, f"see `unify spaces {space.name}`") for hint in hints))
    return names


def vulnerable(given: str, space: LabelSpace, most: int = MOST_VULNERABLE) -> tuple[str, ...]:
    """The classes of mIoU*: names with commas between them, a file of names (`read_names`), or a folder of
    `unify influence`, of which the `most` most vulnerable classes that `space` has.

    Raises:
        UnifyError: what reading them raises; usage (2) for names that are no classes of `space`.
    """
    path = Path(given)
    if path.is_dir():
        from unify.influence_files import open_influences

        found = tuple(name for name in open_influences(path).vulnerability() if name in space.names)[:most]
        if not found:
            raise error("usage", path, f"is of no class of {space.name}", "measure influences in that label space")
        return found
    if path.is_file():
        return of_space(read_names(path), space, path)
    return of_space(tuple(dict.fromkeys(n for n in map(str.strip, given.split(",")) if n)), space, "--vulnerable")


def rarer(artifact: Artifact, by: Literal["images", "pixels"] = "images", split: str = "train") -> tuple[str, ...]:
    """The classes of mIoU†: the rarer half of those that occur in a split of a version, from its stats.parquet.

    By images for VOC, by pixels for Cityscapes in the DropClass supplement. Empty without such a split.
    """
    import numpy as np
    import pyarrow.compute as pc

    from unify.stats import least_frequent_half

    names = artifact.taxonomy.space.names
    table = artifact.stats()
    table = table.filter(pc.and_(pc.equal(table["split"], split), pc.less(table["class_id"], len(names))))
    total = np.zeros(len(names), np.int64)
    np.add.at(total, table["class_id"].to_numpy(), table[by].to_numpy())
    half = least_frequent_half(total)
    return tuple(name for name, is_rare in zip(names, half, strict=True) if is_rare)

"""Label spaces: what the pixel values of a label image mean.

A *raw* space is a data set's own (any ids); a *target* space has ids 0..K-1 in class order and is
what training sees. Both are data, one YAML file each in `mappings/spaces/`.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt

from unify.errors import Problem, UnifyError, error
from unify.yamlfile import read_yaml

VOID = 255  #: the pixel value that is no class, in every label image that we write

ALIASES = "aliases.yaml"  #: beside spaces/: further names of label spaces

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LabelClass:
    """One class: its id (-1..255; Cityscapes' license plate is -1), name, and RGB colour."""

    id: int
    name: str
    color: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name for the label space `space`; `why`: what the two have in common."""

    name: str
    space: str
    why: str


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """An ordered set of classes with distinct names and pixel values.

    `title`, `reference` (where the facts are from) and `origin` (the file, for messages) say
    something about a space and are no part of it: spaces that differ there only are equal.
    Raises `UnifyError` (bad-space) with everything that is wrong.
    """

    name: str
    classes: tuple[LabelClass, ...]
    void: int = VOID
    origin: str = field(default="", compare=False)
    title: str = field(default="", compare=False)
    reference: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if problems := _space_problems(self.name, self.classes, self.void, self.origin or f"label space {self.name}"):
            raise UnifyError(*problems)

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.classes)

    @property
    def ids(self) -> frozenset[int]:
        """Pixel values (0..255) that stand for a class: ids modulo 256, so that -1 is 255."""
        return frozenset(c.id % 256 for c in self.classes)

    @property
    def is_target(self) -> bool:
        """Whether the ids are 0..K-1 in class order, as every space that labels are mapped to has."""
        return all(c.id == i for i, c in enumerate(self.classes)) and len(self) <= VOID

    def index(self, name: str) -> int:
        """Id of the class called `name`. Raises `UnifyError` (usage) if there is none."""
        for c in self.classes:
            if c.name == name:
                return c.id
        raise error("usage", "", f"no class '{name}' in {self.name}{did_you_mean(name, self.names)}")

    def palette(self) -> npt.NDArray[np.uint8]:
        """(256, 3) RGB of every pixel value; void and values without a class are black."""
        rgb = np.zeros((256, 3), np.uint8)
        for c in self.classes:
            rgb[c.id % 256] = c.color
        return rgb


def mappings_dir() -> Path:
    """Where our own data lies: inside the installed package, or beside it in a source checkout."""
    package = Path(__file__).resolve().parent
    packed = package / "_mappings"
    return packed if packed.is_dir() else package.parent / "mappings"


def folders(search: Sequence[Path] = ()) -> tuple[Path, ...]:
    """The user's folders and then our own; of two files with one name, the first folder's counts.

    Raises `UnifyError` (not-found) for those of `search` that are not there.
    """
    if missing := [Problem("not-found", str(p), "no such folder of mappings") for p in search if not p.is_dir()]:
        raise UnifyError(*missing)
    return (*search, mappings_dir())


def find_files(pattern: str, search: Sequence[Path] = ()) -> dict[str, Path]:
    """File stem -> path of the data files that match, such as "spaces/*.yaml"; sorted by stem."""
    found: dict[str, Path] = {}
    for folder in folders(search):
        for path in sorted(folder.glob(pattern)):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def origin_of(path: Path) -> str:
    """How messages name a data file: "spaces/idd.yaml" for our own, the whole path for a user's."""
    own = mappings_dir()
    return path.relative_to(own).as_posix() if path.is_relative_to(own) else str(path)


def space_names(search: Sequence[Path] = ()) -> tuple[str, ...]:
    """Names of all label spaces, sorted. `search`: further folders laid out as `mappings/` is."""
    return tuple(find_files("spaces/*.yaml", search))


def aliases(search: Sequence[Path] = ()) -> dict[str, Alias]:
    """Name → alias, of the `aliases.yaml` of `search` and of `mappings/`, sorted; the first folder's counts.

    Raises `UnifyError` (bad-space) with all that is wrong in these files.
    """
    found: dict[str, Alias] = {}
    for folder in folders(search):
        if (path := folder / ALIASES).is_file():
            found = {a.name: a for a in read_aliases(path, search)} | found
    return dict(sorted(found.items()))


def resolve(name: str, search: Sequence[Path] = ()) -> str:
    """The label space that goes by `name`: `name` itself, or what it is an alias of. It need not exist."""
    if name in space_names(search):
        return name
    alias = aliases(search).get(name)
    return alias.space if alias else name


def load_space(name: str, search: Sequence[Path] = ()) -> LabelSpace:
    """The label space `name`, from `spaces/<name>.yaml` in `search` or else in `mappings/`.

    An alias gives the space that it stands for, under that space's own name.
    Raises `UnifyError`: usage (no such space; the known ones are listed) or bad-space.
    """
    files = find_files("spaces/*.yaml", search)
    if name not in files:
        others = aliases(search)
        if name in others:
            return read_space(files[others[name].space])
        known = (*files, *others)
        raise error("usage", "", f"no label space '{name}'{did_you_mean(name, known)}", f"known: {', '.join(known)}")
    return read_space(files[name])


def read_aliases(path: Path, search: Sequence[Path] = ()) -> tuple[Alias, ...]:
    """The aliases in the file `path`: name → {space, why}.

    Raises `UnifyError` (bad-space) with all that is wrong: an alias of nothing, or of another alias, or one that
    has the name of a space.
    """
    origin = origin_of(path)
    problems: list[Problem] = []
    data = read_yaml(path, origin, "bad-space", problems)
    known = space_names(search)
    found: list[Alias] = []
    for name, row in (data or {}).items():
        space, why = (row.get(key) if isinstance(row, dict) and len(row) == 2 else None for key in ("space", "why"))
        if not (isinstance(name, str) and isinstance(space, str) and isinstance(why, str)):
            problems.append(Problem("bad-space", origin, f"{name!r} has to be a name with {{space, why}}, both text"))
        elif odd_name(name) or name in known:
            fix = "choose another name" if name in known else "write plain text"
            what = f"'{name}' is {'the name of a label space already' if name in known else 'an odd name'}"
            problems.append(Problem("bad-space", origin, what, fix))
        elif space not in known:
            what = f"'{name}' stands for '{space}', which is no label space{did_you_mean(space, known)}"
            problems.append(Problem("bad-space", origin, what, f"known: {', '.join(known)}"))
        else:
            found.append(Alias(name, space, why))
    if problems:
        raise UnifyError(*problems)
    return tuple(found)


def read_space(path: Path) -> LabelSpace:
    """The label space in the file `path`. Raises `UnifyError` (bad-space) with all that is wrong."""
    if path.is_relative_to(mappings_dir()):
        with contextlib.suppress(OSError):  # which the reading itself will tell
            stat = path.stat()
            return _read_own(path, stat.st_mtime_ns, stat.st_size)
    return _read(path)


@functools.lru_cache(maxsize=256)
def _read_own(path: Path, mtime_ns: int, size: int) -> LabelSpace:
    """Our own files are asked for again and again: each mapping asks for two."""
    return _read(path)


def _read(path: Path) -> LabelSpace:
    origin = origin_of(path)
    problems: list[Problem] = []
    data = read_yaml(path, origin, "bad-space", problems)
    if data is None:
        raise UnifyError(*problems)
    space = attempt(problems, lambda: parse_space(data, origin))
    if data.get("name") != path.stem:
        what = f"its name is {data.get('name')!r}, but its file is {path.name}"
        problems.append(Problem("bad-space", origin, what, "make them agree"))
    if "@" in path.stem:
        problems.append(Problem("bad-space", origin, "a name with '@'", "in names of files, a variant comes after it"))
    if problems or space is None:
        raise UnifyError(*problems)
    return space


def parse_space(data: dict[str, object], origin: str) -> LabelSpace:
    """A label space from plain data, as it stands in YAML and in `taxonomy.json`.

    Raises `UnifyError` (bad-space) with every wrong type, unknown key and unlawful value.
    """
    name, title, reference = (data.get(key, "") for key in ("name", "title", "reference"))
    void, rows = data.get("void", VOID), data.get("classes")
    bad: list[str] = []
    if unknown := [k for k in data if k not in ("name", "title", "reference", "void", "classes")]:
        bad.append(f"unknown keys: {quoted(unknown)}")
    if not (isinstance(name, str) and isinstance(title, str) and isinstance(reference, str)):
        bad.append("name, title and reference have to be text")
    if type(void) is not int:
        bad.append(f"void has to be a number, not {void!r}")
    if not isinstance(rows, list):
        bad.append("classes has to be a list of {id, name, color}")
    classes: list[LabelClass] = []
    for i, row in enumerate(rows if isinstance(rows, list) else ()):
        parsed = _parse_class(row)
        if isinstance(parsed, LabelClass):
            classes.append(parsed)
        else:
            bad.append(f"class {i}: {parsed}")
    if not bad:
        header = cast(str, title), cast(str, reference)
        return LabelSpace(cast(str, name), tuple(classes), cast(int, void), origin, *header)
    problems = [Problem("bad-space", origin, what, "see any file beside it for the layout") for what in bad]
    problems += _space_problems(str(name), classes, void if type(void) is int else VOID, origin)
    raise UnifyError(*problems)


def naive_union(spaces: Iterable[LabelSpace]) -> LabelSpace:
    """The naive union of label spaces (Kim et al., ECCV 2022): every class name once, alphabetical.

    Independent of the order of `spaces`. A class has the colour that it has in the finest space
    (most classes; then by name of the space). Colours are distinct: one that is taken (or black,
    which is void) has its green raised by 41, modulo 256, until it is free. Since 41 is odd, that
    reaches all 256 greens, and there are at most 255 classes.

    Raises `UnifyError` (bad-space) if there are more classes than an 8-bit label image can hold.
    """
    colors: dict[str, tuple[int, int, int]] = {}
    taken = {(0, 0, 0)}
    spaces = sorted(spaces, key=lambda s: (-len(s), s.name))
    if (size := len({c.name for s in spaces for c in s.classes})) > VOID:
        what = f"the union of {', '.join(s.name for s in spaces)} has {size} classes"
        raise error("bad-space", "", what, f"8-bit labels hold {VOID}: leave a data set out")
    for c in (c for space in spaces for c in space.classes):
        if c.name not in colors:
            red, green, blue = c.color
            while (red, green, blue) in taken:
                green = (green + 41) % 256
            taken.add((red, green, blue))
            colors[c.name] = (red, green, blue)
    classes = tuple(LabelClass(i, name, colors[name]) for i, name in enumerate(sorted(colors)))
    return LabelSpace(f"union{size}", classes, title="Naive union of " + ", ".join(s.name for s in spaces))


def attempt(problems: list[Problem], load: Callable[[], T]) -> T | None:
    """`load()`; if that raises `UnifyError`, its problems go to the end of `problems`."""
    try:
        return load()
    except UnifyError as e:
        problems += e.problems
        return None


def quoted(names: Iterable[object]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def counted(items: Sequence[object], noun: str) -> str:
    """Such as "1 class" or "2 classes": for nouns that end in s."""
    return f"{len(items)} {noun}" + ("es" if len(items) != 1 else "")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint to put behind `name` if one of `known` is spelled much like it, else ""."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _parse_class(row: object) -> LabelClass | str:
    """A class, or what is wrong with its row. `bool` is an `int` to Python, but no id."""
    if not isinstance(row, dict) or set(row) != {"id", "name", "color"}:
        return f"{row!r} has to be {{id, name, color}}, no more and no less"
    number, name, color = row["id"], row["name"], row["color"]
    if type(number) is not int:
        return f"the id has to be a number, not {number!r}"
    if not isinstance(name, str):
        return f"the name has to be text, not {name!r}: put it in quotes"
    if not isinstance(color, list) or len(color) != 3 or any(type(v) is not int for v in color):
        return f"the color has to be [red, green, blue], not {color!r}"
    return LabelClass(number, name, (color[0], color[1], color[2]))


def _space_problems(name: str, classes: Sequence[LabelClass], void: int, origin: str) -> list[Problem]:
    return [Problem("bad-space", origin, what, fix) for what, fix in _space_faults(name, classes, void)]


def _space_faults(name: str, classes: Sequence[LabelClass], void: int) -> Iterator[tuple[str, str]]:
    """Everything wrong with a space of these classes: (what, what to do)."""
    if odd := [n for n in (name, *(c.name for c in classes)) if odd_name(n)]:
        fix = "write plain text without stray spaces, control or look-alike characters"
        yield f"odd names: {', '.join(map(ascii, odd))}", fix
    if not classes:
        yield "it has no classes", "list at least one"
    if void != VOID:
        yield f"void is {void}", f"void is {VOID} in every label image"
    if repeated := [n for n, count in Counter(c.name for c in classes).items() if count > 1]:
        yield f"names of more than one class: {quoted(repeated)}", "give every class its own name"
    if outside := [c for c in classes if not -1 <= c.id <= 255]:
        yield f"ids outside -1..255: {_with_names(outside)}", "pixel values have 8 bits; -1 stands for 255"
    values = Counter(c.id % 256 for c in classes)
    if repeated_ids := [c for c in classes if values[c.id % 256] > 1]:
        yield f"pixel values of more than one class: {_with_names(repeated_ids)}", "give every class its own id"
    if bad_colors := [c.name for c in classes if not all(0 <= v <= 255 for v in c.color)]:
        yield f"colours outside 0..255: {quoted(bad_colors)}", "give [red, green, blue], each 0..255"


def odd_name(name: str) -> bool:
    """Whether a name would not survive files, terminals and eyes: empty, padded, control or
    invisible characters, or characters that are another's compatibility form (U+00A0, U+2011).
    """
    return not name or name != name.strip() or not name.isprintable() or not unicodedata.is_normalized("NFKC", name)


def _with_names(classes: Iterable[LabelClass]) -> str:
    return ", ".join(f"{c.id} '{c.name}'" for c in classes)

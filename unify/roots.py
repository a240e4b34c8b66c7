"""Where the raw data lies: from options, environment and unify.toml, in that order. No root is guessed.

Each can name a dataset's folder: `C=DIR`, `UNIFY_ROOT_C`, and `C = "DIR"` under `[roots]`. Options and
environment can name a folder of such folders, too (`DIR`, `UNIFY_ROOT`): it and its subfolders are looked at.
A table `[datasets.NAME]` of unify.toml describes a dataset of the user's own, and may give its root.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unify.errors import Problem, UnifyError, error
from unify.sources import SOURCES, Detection, Source, detect, detect_any, source_named
from unify.sources.custom import custom_sources
from unify.sources.files import read_small, subfolders
from unify.spaces import attempt, did_you_mean

CONFIG = Path("unify.toml")
_MAX_CONFIG_BYTES = 1 << 20
_CONFIG_FIX = 'write C = "DIR" lines below [roots]'


@dataclass(frozen=True, slots=True)
class Wanted:
    """A dataset to read, and which release of it; None for the default of its root."""

    source: str
    release: str | None = None


@dataclass(frozen=True, slots=True)
class _Layer:
    """What one place says. `named`: source → folder; `parents`: folders of such folders."""

    named: Mapping[str, Path] = field(default_factory=dict)
    parents: tuple[Path, ...] = ()


def known_sources(config: Path | None = None) -> dict[str, Source]:
    """`SOURCES`, and behind them those that the `[datasets]` tables of a TOML file describe.

    config: as for `resolve_roots`. Raises `UnifyError` (bad-config, not-found, no-permission).
    """
    problems: list[Problem] = []
    content = _read_config(config, problems)
    if problems:
        raise UnifyError(*problems)
    return {**SOURCES, **custom_sources(content.get("datasets", {}), str(config or CONFIG), SOURCES)}


def parse_datasets(datasets: str | Sequence[str], sources: Mapping[str, Source] = SOURCES) -> tuple[Wanted, ...]:
    """Letters or names in any case, each with a release or not: "C,I,M@v2.0" or ["C", "idd", "M@v2.0"].

    The answer is in the order of `sources`. Raises `UnifyError` (unknown-dataset, usage) with all faults.
    """
    wanted: dict[str, Wanted] = {}
    problems: list[Problem] = []
    for word in datasets.split(",") if isinstance(datasets, str) else datasets:
        name, _, release = word.strip().partition("@")
        try:
            source = source_named(name, sources)
        except UnifyError as e:
            problems += e.problems
            continue
        if source.name in wanted:
            problems.append(Problem("usage", "", f"{source.title} is named twice", "name each dataset once"))
        if release and release not in source.releases:
            what = f"{source.title} has no release '{release}'{did_you_mean(release, source.releases)}"
            problems.append(Problem("unknown-dataset", "", what, f"known: {', '.join(source.releases)}"))
        wanted[source.name] = Wanted(source.name, release or None)
    if problems:
        raise UnifyError(*problems)
    return tuple(wanted[name] for name in sources if name in wanted)


def resolve_roots(
    datasets: str | Sequence[str] | None,
    options: Sequence[str] = (),
    *,
    environ: Mapping[str, str],
    config: Path | None = None,
    incomplete: bool = False,
    sources: Mapping[str, Source] = SOURCES,
) -> dict[str, Detection]:
    """Source name → its root, in the order of `sources`.

    datasets: as for `parse_datasets`, or None for whatever is found. options: "C=DIR" or "DIR" each.
    config: a TOML file; ./unify.toml is read if there is one. incomplete: return roots that lack
    something, too, where they are refused otherwise. sources: what can be named and looked for.

    Raises `UnifyError` with all faults: unknown-dataset, usage, no-root, wrong-root, not-found,
    no-permission, bad-config.
    """
    problems: list[Problem] = []
    every = tuple(Wanted(name) for name in sources)
    chosen = every if datasets is None else attempt(problems, lambda: parse_datasets(datasets, sources)) or ()
    layers = (
        _from_options(options, sources, problems),
        _from_environment(environ, sources, problems),
        _from_config(config, sources, problems),
    )
    found: dict[str, Detection] = {}
    for wanted in chosen:
        source = sources[wanted.source]
        try:
            root = _locate(source, layers, sources)
            if root is not None:
                found[source.name] = _usable(source, wanted, root, incomplete)
            elif datasets is not None:
                problems.append(_no_root(source, layers))
        except UnifyError as e:
            problems += e.problems
    if not found and not problems:
        problems.append(_nothing_found(layers))
    if problems:
        raise UnifyError(*dict.fromkeys(problems))  # a folder that serves several sources fails for each
    return found


def _from_options(options: Iterable[str], sources: Mapping[str, Source], problems: list[Problem]) -> _Layer:
    named: list[tuple[str, str]] = []
    parents: list[str] = []
    for option in options:
        key, equals, folder = option.partition("=")
        if equals and "/" not in key:  # a folder's own name may hold "="
            named.append((key, folder))
        else:
            parents.append(option)
    return _layer("--root", named, parents, Path(), sources, problems)


def _from_environment(environ: Mapping[str, str], sources: Mapping[str, Source], problems: list[Problem]) -> _Layer:
    letters = [source.letter for source in sources.values()]
    named = [(letter, folder) for letter in letters if (folder := environ.get(f"UNIFY_ROOT_{letter}"))]
    parents = [parent] if (parent := environ.get("UNIFY_ROOT")) else []
    return _layer("environment", named, parents, Path(), sources, problems)


def _from_config(config: Path | None, sources: Mapping[str, Source], problems: list[Problem]) -> _Layer:
    """The `[roots]` table of a TOML file, and the `root` of each dataset of the user's own.

    Relative folders start at the file's own folder.
    """
    path = config or CONFIG
    content = _read_config(config, problems)
    roots = content.get("roots", {})
    if not isinstance(roots, dict) or not all(isinstance(folder, str) for folder in roots.values()):
        problems.append(Problem("bad-config", str(path), "[roots] does not give a text for each letter", _CONFIG_FIX))
        return _Layer()
    own = [(name, root) for name, root in _own_roots(content) if name in sources]
    return _layer(str(path), [*roots.items(), *own], [], path.parent, sources, problems)


def _own_roots(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    tables = content.get("datasets", {})
    for name, table in tables.items() if isinstance(tables, dict) else ():
        if isinstance(table, dict) and isinstance(table.get("root"), str):
            yield name, table["root"]


def _read_config(config: Path | None, problems: list[Problem]) -> dict[str, Any]:
    """What a TOML file says; nothing where there is none."""
    path = config or CONFIG
    if config is None and not path.exists():
        return {}
    try:
        return tomllib.loads(read_small(path, _MAX_CONFIG_BYTES).decode())
    except OSError as e:
        kind = "no-permission" if isinstance(e, PermissionError) else "not-found"
        problems.append(Problem(kind, str(path), f"cannot be read: {e.strerror}", "check the file, or leave it out"))
    except (ValueError, RecursionError) as e:  # TOML errors and bytes that are not UTF-8
        problems.append(Problem("bad-config", str(path), f"is not TOML: {e}", _CONFIG_FIX))
    except UnifyError as e:
        problems += e.problems
    return {}


def _layer(
    origin: str,
    named: Sequence[tuple[str, str]],
    parents: Sequence[str],
    base: Path,
    sources: Mapping[str, Source],
    problems: list[Problem],
) -> _Layer:
    """`named`: (letter or name, folder). Relative folders start at `base`."""
    folders: dict[str, Path] = {}
    for key, folder in named:
        try:
            source = source_named(key, sources)
        except UnifyError as e:
            problems += [dataclasses.replace(p, path=origin) for p in e.problems]
            continue
        if source.name in folders:
            what = f"gives {source.title} two folders: {folders[source.name]} and {folder}"
            problems.append(Problem("usage", origin, what, "give one"))
        if folder:
            folders[source.name] = _folder(folder, base)
        else:
            problems.append(Problem("usage", origin, f"names no folder after {key}=", f"write {key}=DIR"))
    return _Layer(folders, tuple(_folder(parent, base) for parent in parents))


def _folder(text: str, base: Path) -> Path:
    """`text` as a folder, below `base` if it is relative; a leading ~ is somebody's home."""
    with contextlib.suppress(RuntimeError):  # nobody of that name
        return base / Path(text).expanduser()
    return base / text


def _locate(source: Source, layers: Iterable[_Layer], sources: Mapping[str, Source]) -> Detection | None:
    """The root that the first layer with one gives. Raises `UnifyError` if a folder is not what it should be."""
    for layer in layers:
        if source.name in layer.named:
            return _named_root(source, layer.named[source.name], sources)
        if roots := dict.fromkeys(root for parent in layer.parents for root in _roots_below(source, parent)):
            return _best(source, list(roots))
    return None


def _named_root(source: Source, folder: Path, sources: Mapping[str, Source]) -> Detection:
    _check_folder(folder)
    if root := detect(source, folder):
        return root
    if below := _roots_below(source, folder):
        raise error("wrong-root", folder, f"is no {source.title} root", f"give --root {source.letter}={below[0].root}")
    if others := [sources[found.source] for found in detect_any(folder, sources)]:
        what = f"looks like {others[0].title}, not like {source.title}"
        raise error("wrong-root", folder, what, f"give --root {others[0].letter}={folder}, or another folder")
    raise error("wrong-root", folder, f"is no {source.title} root", f"a root of it holds {source.layout}")


def _roots_below(source: Source, parent: Path) -> list[Detection]:
    """`parent` itself and those of its subfolders that are roots of `source`."""
    _check_folder(parent)
    found = [detect(source, parent)]
    for name in subfolders(parent):
        with contextlib.suppress(UnifyError):  # what we may not look into is none of ours, such as lost+found
            found.append(detect(source, parent / name))
    return [root for root in found if root is not None]


def _best(source: Source, roots: Sequence[Detection]) -> Detection:
    """The one complete root, or the first if none is. Of a folder and its parts, the folder."""
    complete = [root for root in roots if not root.missing] or list(roots[:1])
    outer = [r for r in complete if not any(o.root in r.root.parents for o in complete)]
    if len(outer) > 1:
        what = f"{source.title} is in {len(outer)} folders: {', '.join(str(r.root) for r in outer)}"
        raise error("wrong-root", "", what, f"say which with --root {source.letter}=DIR")
    return outer[0]


def _check_folder(folder: Path) -> None:
    try:
        os.scandir(folder).close()
    except PermissionError as e:
        raise error("no-permission", folder, f"cannot be listed: {e.strerror}", "check its permissions") from e
    except OSError as e:
        raise error("not-found", folder, f"is no folder: {e.strerror}", "give an existing folder") from e


def _usable(source: Source, wanted: Wanted, root: Detection, incomplete: bool) -> Detection:
    if root.missing and not incomplete:
        what = f"looks like {source.title}, but lacks {'; '.join(root.missing)}"
        raise error("wrong-root", root.root, what, f"a root of it holds {source.layout}")
    if wanted.release and wanted.release not in root.offers:
        what = f"holds release {', '.join(root.offers) or 'unknown'} of {source.title}, not {wanted.release}"
        raise error("wrong-root", root.root, what, f"give the folder of {wanted.release}")
    return dataclasses.replace(root, release=wanted.release or root.release)


def _no_root(source: Source, layers: Iterable[_Layer]) -> Problem:
    letter = source.letter
    parents = [str(parent) for layer in layers for parent in layer.parents]
    what = f"no folder of {source.title} " + (f"in {', '.join(parents)}" if parents else "is given")
    fix = f'give --root {letter}=DIR, set UNIFY_ROOT_{letter}, or write {letter} = "DIR" below [roots] in {CONFIG}'
    return Problem("no-root", "", what, fix)


def _nothing_found(layers: Iterable[_Layer]) -> Problem:
    parents = [str(parent) for layer in layers for parent in layer.parents]
    what = f"no dataset that we know in {', '.join(parents)}" if parents else "no folder is given"
    return Problem("no-root", "", what, "give --root DIR, a folder of datasets, or --root C=DIR for one")

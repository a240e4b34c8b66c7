"""A mixture from a user's YAML or TOML file.

name: mine                    # the file's name without it
length: 3000                  # draws in an epoch; or {source: cityscapes, splits: [train]}: as many as there are
parts:
  - source: cityscapes        # any without it
    release: fine             # any without it
    splits: [train, val]      # [train] without it
    share: 0.4                # of the draws; for all parts or none (then by images)
    sampler: class-uniform    # uniform without it
    options: {class_share: 0.5}
    name: fine                # two parts of the same images need names
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard

from unify.draws.mixtures import MIXTURES, Mixture, Part, Select, faults
from unify.draws.samplers import Value
from unify.errors import Problem, UnifyError
from unify.spaces import did_you_mean
from unify.yamlfile import MAX_BYTES, read_yaml

SUFFIXES = (".yaml", ".yml", ".toml")
_FIX = "`unify mix --help` shows a whole file"
_SELECT = ("source", "release", "splits")
_PART = (*_SELECT, "name", "share", "sampler", "options")
_TOP = ("name", "about", "length", "parts")


def mixture_named(text: str) -> Mixture:
    """One of `MIXTURES`, or that of a file whose path ends in one of `SUFFIXES`.

    Raises:
        UnifyError: usage (2) for an unknown name; bad-config (78) with everything wrong with the file.
    """
    if text in MIXTURES:
        return MIXTURES[text]
    if Path(text).suffix.lower() in SUFFIXES:
        return read_mixture(Path(text))
    what = f"is no mixture, nor a file that ends in .yaml or .toml{did_you_mean(text, MIXTURES)}"
    raise UnifyError(Problem("usage", text, what, f"known: {', '.join(MIXTURES)}"))


def read_mixture(path: Path) -> Mixture:
    """The mixture in a file. Raises `UnifyError` (bad-config) with everything wrong with it."""
    problems: list[Problem] = []
    origin = str(path)
    is_toml = path.suffix.lower() == ".toml"
    data = _read_toml(path, problems) if is_toml else read_yaml(path, origin, "bad-config", problems)
    mixture = None
    if data is not None:
        told: list[str] = []
        mixture = _mixture(data, path.stem, told)
        # What is wrong with the file comes first; of what cannot be read there is no more to say.
        told += [] if told else faults(mixture)
        problems += [Problem("bad-config", origin, what, _FIX) for what in dict.fromkeys(told)]
    if problems or mixture is None:
        raise UnifyError(*problems)
    return mixture


def _read_toml(path: Path, problems: list[Problem]) -> dict[str, object] | None:
    def wrong(what: str, fix: str) -> None:
        problems.append(Problem("bad-config", str(path), what, fix))

    try:
        if path.stat().st_size > MAX_BYTES:
            wrong(f"the file is larger than {MAX_BYTES:,} bytes", "no mixture needs as much")
            return None
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        wrong(f"cannot be read: {e.strerror}", "check the file and its permissions")
    except UnicodeDecodeError as e:
        wrong(f"is not UTF-8 text (byte {e.start})", "save it as UTF-8")
    except tomllib.TOMLDecodeError as e:
        wrong(f"is not TOML: {e}", "correct the line")
    return None


def _mixture(data: Mapping[str, object], stem: str, told: list[str]) -> Mixture:
    _unknown(data, _TOP, "", told)
    parts = data.get("parts")
    if not isinstance(parts, list) or not parts:
        told.append("it has no list of parts")
        parts = []
    length = data.get("length")
    chosen: int | Select | None = None
    if isinstance(length, dict):
        _unknown(length, _SELECT, "length: ", told)
        chosen = _select(length, "length: ", told)
    elif _is_int(length):
        chosen = length
    elif length is not None:
        told.append(f"length has to be a whole number, or a source and splits, not {length!r}")
    return Mixture(
        _text(data, "name", "", told) or stem,
        _text(data, "about", "", told) or "",
        tuple(_part(part, f"parts[{i}]: ", told) for i, part in enumerate(parts)),
        chosen,
    )


def _part(data: object, where: str, told: list[str]) -> Part:
    if not isinstance(data, dict):
        told.append(f"{where}has to have `key: value` lines, not {data!r}")
        return Part("", Select())
    _unknown(data, _PART, where, told)
    select = _select(data, where, told)
    share = data.get("share")
    if not (share is None or _is_number(share)):
        told.append(f"{where}share has to be a number, not {share!r}")
    return Part(
        _text(data, "name", where, told) or str(select),
        select,
        float(share) if _is_number(share) else None,
        _text(data, "sampler", where, told) or "uniform",
        _options(data.get("options"), where, told),
    )


def _select(data: Mapping[str, object], where: str, told: list[str]) -> Select:
    splits = data.get("splits", ["train"])
    splits = [splits] if isinstance(splits, str) else splits
    if not isinstance(splits, list) or not splits or not all(isinstance(split, str) and split for split in splits):
        told.append(f"{where}splits has to be a list of names, not {splits!r}")
        splits = ["train"]
    return Select(_text(data, "source", where, told), _text(data, "release", where, told), tuple(splits))


def _options(data: object, where: str, told: list[str]) -> dict[str, Value]:
    if data is None:
        return {}
    if not isinstance(data, dict):
        told.append(f"{where}options has to have `key: value` lines, not {data!r}")
        return {}
    found: dict[str, Value] = {}
    for name, value in data.items():
        if isinstance(value, bool) or _is_number(value):
            found[str(name)] = value
        else:
            told.append(f"{where}option {name} has to be a number, true or false, not {value!r}")
    return found


def _text(data: Mapping[str, object], key: str, where: str, told: list[str]) -> str | None:
    value = data.get(key)
    if value is None or (isinstance(value, str) and value):
        return value
    told.append(f"{where}{key} has to be a text, not {value!r}")
    return None


def _unknown(data: Mapping[str, object], known: tuple[str, ...], where: str, told: list[str]) -> None:
    if unknown := [str(key) for key in data if key not in known]:
        told.append(f"{where}unknown {', '.join(unknown)}; known: {', '.join(known)}")


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)

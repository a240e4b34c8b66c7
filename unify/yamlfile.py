"""One YAML file in, one plain dict out, or every reason why not.

YAML as our data files use it: no aliases, no tags, no deep nesting, no key twice (PyYAML would
silently keep the last), at most 1 MiB. Files come from users too, so nothing is constructed before
the stream of parse events has passed these checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from unify.errors import Problem

MAX_BYTES = 1 << 20
MAX_DEPTH = 8  # a label space needs 4: file, class list, class, colour

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where the wheel has it: 10 times faster


def read_yaml(path: Path, origin: str, kind: str, problems: list[Problem]) -> dict[str, object] | None:
    """The mapping at the top of the YAML file `path`, or None where there is none to be had.

    What is wrong goes to the end of `problems`, of the kind and with the path (`origin`) given:
    unreadable, too large, not UTF-8, not YAML, duplicate keys (all of them, and the file's content
    is returned all the same, for the caller to go on checking), or no mapping at the top.
    """

    def wrong(what: str, fix: str) -> None:
        problems.append(Problem(kind, origin, what, fix))

    data = None
    try:
        if path.stat().st_size > MAX_BYTES:
            wrong(f"the file is larger than {MAX_BYTES:,} bytes", "no label space or mapping needs as much")
        elif refused := _refused(text := path.read_text(encoding="utf-8")):
            wrong(refused, "write plain `key: value` lines, as the files beside it do")
        else:
            loader = _LOADER(text)
            root = loader.get_single_node()
            for line, key, before in _duplicates(root):
                wrong(f"line {line}: duplicate key '{key}', first on line {before}", "keep one of them")
            data = loader.construct_document(root) if root is not None else {}
            if not isinstance(data, dict):
                wrong("has no `key: value` lines at its top", "see any file beside it for the layout")
    except OSError as e:
        wrong(f"cannot be read: {e.strerror}", "check the file and its permissions")
    except UnicodeDecodeError as e:
        wrong(f"is not UTF-8 text (byte {e.start})", "save it as UTF-8")
    except (yaml.YAMLError, ValueError) as e:  # ValueError: an impossible date, such as 2024-99-99
        wrong(f"is not YAML: {_one_line(e)}", "correct the line")
    return data if isinstance(data, dict) else None


def _refused(text: str) -> str:
    """The first thing in `text` that is YAML and that we do not take, or ""."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        mark = event.start_mark
        line = mark.line + 1 if mark else 0
        if isinstance(event, yaml.AliasEvent):
            return f"line {line}: an alias (*{event.anchor})"
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            return f"line {line}: nested deeper than {MAX_DEPTH} levels"
    return ""


def _duplicates(node: yaml.Node | None) -> Iterator[tuple[int, str, int]]:
    """Keys that stand twice in one mapping, anywhere below `node`: (line, key, line of the first)."""
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                if key.value in first:
                    yield line, key.value, first[key.value]
                first.setdefault(key.value, line)
            yield from _duplicates(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _duplicates(item)


def _one_line(e: Exception) -> str:
    mark = getattr(e, "problem_mark", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    return where + (getattr(e, "problem", None) or str(e).partition("\n")[0])

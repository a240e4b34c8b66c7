"""What the documents say is what is there. `python -m tests.test_docs` writes docs/commands.md anew."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from unify.cli import app
from unify.errors import KINDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS_PAGE = ROOT / "docs" / "commands.md"


def commands(group: click.Group = app, path: str = "unify") -> Iterator[tuple[str, click.Command]]:
    for name, command in sorted(group.commands.items()):
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def help_of(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path, terminal_width=100)
    return command.get_help(context)


def printed_help(path: str) -> str:
    """What a person sees, from a process of its own: click remembers options of earlier calls."""
    command = [sys.executable, "-m", *path.split(), "--help"]
    out = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "102"})
    return out.stdout.rstrip()


def page() -> str:
    parts = ["# Commands", "What `--help` says of each. Written by `python -m tests.test_docs`."]
    parts += [f"## {path}\n\n```\n{printed_help(path)}\n```" for path, _ in commands()]
    return "\n\n".join(parts) + "\n"


@pytest.mark.parametrize(("path", "command"), list(commands()), ids=[path for path, _ in commands()])
def test_every_command_has_help_with_an_example(path, command):
    text = help_of(path, command)
    assert len(command.help or "") > 20
    if not isinstance(command, click.Group):
        assert "Example:" in text
        assert f"{path} " in text.split("Example:")[1]
    assert all(p.help for p in command.params if isinstance(p, click.Option)), "every option says what it does"


def test_the_commands_page_is_fresh():
    assert COMMANDS_PAGE.read_text(encoding="utf-8") == page(), "run `python -m tests.test_docs`"


def test_readme_names_every_command_and_exit_code():
    for path, _ in commands():
        assert path.rsplit(" ", 1)[1] in README
    table = README.split("| exit code |")[1].split("\n\n")[0]
    listed = {int(n) for n in re.findall(r"\b\d+\b", table)}
    assert {0, 1, 3, 130, 141, 143, *KINDS.values()} == listed


def tree_in_readme() -> set[str]:
    """Paths of the drawn tree: indentation is depth, names end with "/" or a suffix; "a, b" are two names."""
    text = README.split("## The tree")[1].split("```")[1]
    found, stack = set(), []
    for line in text.splitlines():
        match = re.match(r"^( *)(\S(?:.*?\S)?)(?:  +.*)?$", line)
        if not match:
            continue
        depth = len(match[1]) // 2
        for name in match[2].split(", "):
            stack[depth:] = [name.rstrip("/")]
            found.add("/".join(stack))
    return found


def test_the_tree_in_the_readme_matches_the_folders():
    drawn = tree_in_readme()
    missing = [p for p in drawn if not (ROOT / p).exists() and "*" not in p]
    assert not missing, "the tree names what is not there"
    there = {p.relative_to(ROOT).as_posix() for p in (ROOT / "unify").glob("*.py") if p.name != "__main__.py"}
    there |= {p.relative_to(ROOT).as_posix() for p in (ROOT / "unify").iterdir() if p.is_dir() and p.name[0] != "_"}
    there |= {p.parent.relative_to(ROOT).as_posix() for p in ROOT.glob("[!.]*/*.*") if p.parent.name in _tops()}
    assert not there - drawn - {"unify/__init__.py"}, "the tree leaves out what is there"


def _tops() -> set[str]:
    return {"mappings", "tests", "benchmarks", "docs", "trainers", "unify"}


def test_conversion_figures_of_the_readme_are_the_measured_ones():
    shown = re.findall(r"^\| (\d+x\d+, .*?) \| .* \| ([\d.]+)× \|$", README, re.MULTILINE)
    results = json.loads((ROOT / "benchmarks" / "results" / "conversion.json").read_text())
    ratios = {name: found["ratio"] for name, found in results.items() if name != "command"}
    assert dict(shown) == {name: f"{ratio:.1f}" for name, ratio in ratios.items()}
    goals = {"2048x1024": 5, "1280x720": 6}
    assert len(ratios) == 4
    assert all(ratio >= goals[name.partition(",")[0]] for name, ratio in ratios.items()), "goals that are met stay met"


def test_every_dependency_is_imported_somewhere():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {"opencv-python": "cv2", "PyYAML": "yaml", "pillow": "PIL"}
    source = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "unify").rglob("*.py"))
    for requirement in declared:
        name = re.split(r"[<>=~!]", requirement)[0].strip()
        assert re.search(rf"^\s*(import|from) {names.get(name, name)}\b", source, re.MULTILINE), name


if __name__ == "__main__":
    COMMANDS_PAGE.write_text(page(), encoding="utf-8")

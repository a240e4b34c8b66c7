"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="One line of JSON instead of text.")
out_option = click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("out"),
    show_default=True,
    help="Folder of the versions: <out>/<name>/<version>.",
)
mappings_option = click.option(
    "--mappings",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder of your own spaces/ and to_*/ tables, looked into before the built-in ones.",
)
variant_option = click.option(
    "--variant",
    "variants",
    multiple=True,
    metavar="NAME",
    help="Another reading of the mapping tables, of those that `unify spaces SPACE` lists. Repeatable.",
)


def root_options(command: F) -> F:
    """--root, --config and --follow-links: where raw data lies."""
    command = click.option(
        "--root",
        "roots",
        multiple=True,
        metavar="[LETTER=]DIR",
        help="A dataset's folder (C=/data/cityscapes), or a folder of such folders. Repeatable.",
    )(command)
    command = click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        help="A unify.toml with a [roots] table; ./unify.toml is read if present.",
    )(command)
    return click.option("--follow-links", is_flag=True, help="Let symbolic links lead out of the roots.")(command)

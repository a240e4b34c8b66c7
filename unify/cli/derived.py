"""What the commands that make a version from a version share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from unify.cli.options import json_option
from unify.cli.show import duration, json_line, progress, what_was_done

if TYPE_CHECKING:
    from unify.artifact import Artifact
    from unify.commit import Job, Result
    from unify.derive import Task
    from unify.rows import Receipt

F = TypeVar("F", bound=Callable[..., Any])


def version_options(command: F) -> F:
    """-o, --name, --config, -j and --json."""
    command = click.option(
        "-o",
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("out"),
        show_default=True,
        help="Folder of the versions: PATH may be a name there, and the new version goes there.",
    )(command)
    command = click.option("--name", help="Name of the new version's folder.")(command)
    command = click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        help="A unify.toml that describes datasets of your own; ./unify.toml is read if present.",
    )(command)
    command = click.option(
        "-j", "--workers", type=click.IntRange(1), help="Processes; by default all cores, or one for little data."
    )(command)
    return json_option(command)


def commit_job(what: str, job: Job[Task], parent: Artifact, out: Path, workers: int | None, quiet: bool) -> Result:
    """Make the version, with progress on standard error."""
    from unify.commit import commit
    from unify.engine import processes

    n_bytes = sum(file.size for file in parent.manifest.files.values())
    workers = workers or max(1, min(os.cpu_count() or 1, n_bytes >> 26))
    images = sum(len(task.samples) for task in job.tasks(Path(), Path()))
    with progress(what, images, quiet=quiet) as advance:

        def shard_done(task: Task, receipt: Receipt) -> None:
            advance(len(task.samples), receipt.size)

        return commit(job, out, engine=processes(min(workers, len(job.outline.parts))), progress=shard_done)


def facts(result: Result) -> dict[str, object]:
    """For --json."""
    manifest = result.artifact.manifest
    found = {name: getattr(manifest, name) for name in ("name", "version", "digest", "images")}
    mended = {"mended": result.mended} if result.mended else {}
    return {"path": str(result.artifact.path), **found, "fresh": result.fresh, **mended}


def line(result: Result, seconds: float) -> str:
    """For people."""
    path, manifest = result.artifact.path, result.artifact.manifest
    if result.fresh:
        return f"{path}: {manifest.images:,} images in {duration(seconds)} ({manifest.digest[:12]})"
    return f"{path}: the same as before, {what_was_done(result.mended)} ({manifest.digest[:12]})"


def commit_and_print(
    what: str, job: Job[Task], parent: Artifact, out: Path, *, workers: int | None, as_json: bool, started: float
) -> None:
    result = commit_job(what, job, parent, out, workers, quiet=as_json)
    if as_json:
        json_line(facts(result))
    else:
        click.echo(line(result, time.monotonic() - started))

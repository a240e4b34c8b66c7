"""From tasks to a version: shards through an engine, then the files that describe them, then one rename.

    out/<name>/.work/      scratch: temporary files, receipts, and the tree as it grows
    out/<name>/.mend/      the same, for damaged files of a version
    out/<name>/<version>/  the tree, once whole

Killed at any moment there is no version or a whole one. The next run takes over the shards that were finished
and would come out the same, also when faulty files were mended in between: only their shards are made again.
A version that stands already is checked, and files of it that were damaged since are made again.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from unify import storage
from unify.artifact import Artifact, open_artifact, versions
from unify.describe import Outline, describe, input_digests, manifest
from unify.engine import Engine, run
from unify.errors import Problem, UnifyError, error
from unify.manifest import FILE, File, next_version
from unify.rows import Receipt, Target
from unify.verify import damaged

REJECTS = "rejects.jsonl"
INPUTS = "inputs.parquet"


class AnyTask(Protocol):
    """What `commit` asks of a task: where its shard goes, and about how many bytes that will be."""

    @property
    def target(self) -> Target: ...
    @property
    def input_bytes(self) -> int: ...


Task = TypeVar("Task", bound=AnyTask)


@dataclass(frozen=True, slots=True)
class Job(Generic[Task]):
    """A version to be made: `make` turns each of `tasks(tree, scratch)` into a shard, in any process.

    `problems` were found before; `is_current(version)` says whether a version made from an outline of the
    same digest is still what it would become; `look_again` finds what went wrong behind the tasks' backs.
    """

    outline: Outline
    tasks: Callable[[Path, Path], Sequence[Task]]
    make: Callable[[Task], Receipt]
    problems: tuple[Problem, ...] = ()
    is_current: Callable[[Artifact], bool] = lambda version: True
    look_again: Callable[[Sequence[Receipt]], Iterable[Problem]] = lambda receipts: ()


@dataclass(frozen=True, slots=True)
class Result:
    """The version that now stands for the job; `fresh` is false when it stood there before.

    `mended`: files of it that were damaged, and are now again what was published.
    """

    artifact: Artifact
    fresh: bool
    problems: tuple[Problem, ...]
    mended: tuple[str, ...] = ()


def commit(
    job: Job[Task],
    out: Path,
    *,
    engine: Engine | None = None,
    keep_going: bool = False,
    progress: Callable[[Task, Receipt], None] = lambda task, receipt: None,
) -> Result:
    """Make the version that `job` describes below `out`, or find that it is there already, and mend it if need be.

    Args:
        engine: where shards are made; None for this process.
        keep_going: leave faulty samples out instead of refusing; they are listed in rejects.jsonl.
        progress: called after each shard.

    Raises:
        UnifyError: all problems of the job at once, or what kept the disk from taking the result (73, 74),
            or busy (75). No version is written then. Not-verified (76): a damaged file could not be mended.
    """
    folder = out / job.outline.name
    storage.make_dirs(folder)
    with storage.lock(folder):
        storage.remove_file(folder / REJECTS)
        storage.remove_tree(folder / ".mend")  # of a run that was killed
        known, work = versions(folder), folder / ".work"
        tree = work / "tree"
        if not tree.exists():  # what a build that was killed right after publishing left
            storage.remove_tree(work)
        if not job.problems and (found := _standing(job, known)):
            standing, bad = found
            if bad:
                _mend(job, standing, bad, folder / ".mend", engine, progress)
            return Result(standing, False, (), tuple(sorted(bad)))
        tasks = job.tasks(tree, work)
        _prepare(work, tasks)
        receipts = _make_shards(job, tasks, engine, progress)
        problems = [*job.problems, *(p for receipt in receipts for p in receipt.problems)]
        problems += job.look_again(receipts)
        if problems and not keep_going:
            _write_rejects(folder / REJECTS, problems)
            raise UnifyError(*problems)
        if not any(receipt.rows for receipt in receipts):
            raise error("empty-split", job.outline.name, "there is no sample to build from", "check `unify doctor`")
        artifact, fresh = _publish(job.outline, folder, tree, receipts, problems, known)
        storage.remove_tree(work)
        return Result(artifact, fresh, tuple(problems))


def _standing(job: Job[Task], known: list[Artifact]) -> tuple[Artifact, set[str]] | None:
    """The version that this very job made, without rejects, from inputs as they are, and its damaged files."""
    for version in reversed(known):
        if version.manifest.plan == job.outline.digest and not version.manifest.rejects:
            bad = damaged(version)
            # a list of inputs that cannot be read is made again, and comes out the same only if they are
            if INPUTS in bad or job.is_current(version):
                return version, bad
    return None


def _mend(
    job: Job[Task],
    version: Artifact,
    bad: set[str],
    work: Path,
    engine: Engine | None,
    progress: Callable[[Task, Receipt], None],
) -> None:
    """Make the damaged files again, and put those in place that come out as they were published."""
    tree = work / "tree"
    tasks = job.tasks(tree, work)
    told = bad - {task.target.path for task in tasks}  # by the receipts of all shards
    tasks = [task for task in tasks if told or task.target.path in bad]
    _prepare(work, tasks)
    receipts = _make_shards(job, tasks, engine, progress)
    made = {r.path: File(r.size, r.blake3) for r in receipts if r.rows}
    if told:
        for name, data in describe(job.outline, version.manifest.version, receipts).items():
            made[name] = File(*storage.write_file(tree / name, data))
    whole = {name for name in bad if made.get(name) == version.manifest.files[name]}
    for name in sorted(whole):
        storage.move(tree / name, version.path / name)
    storage.remove_tree(work)
    if bad - whole:
        where = f"{version.manifest.name}/{version.manifest.version}"
        what = "is damaged, and does not come out as it was published"
        fix = "restore it from a copy, or move the version away and run the same command again"
        raise UnifyError(*(Problem("not-verified", f"{where}/{name}", what, fix) for name in sorted(bad - whole)))


def _prepare(work: Path, tasks: Sequence[AnyTask]) -> None:
    """The folders, without what a killed run left half done; refuse early when the disk is too full."""
    storage.remove_tree(work / "tmp")
    for name in ("tmp", "receipts", "tree"):
        storage.make_dirs(work / name)
    for folder in sorted({task.target.file.parent for task in tasks}):
        storage.make_dirs(folder)
    missing = sum(task.input_bytes for task in tasks if not task.target.file.exists())
    free = shutil.disk_usage(work).free
    if missing > free:
        what = f"needs about {missing / 1e9:.1f} GB more, {free / 1e9:.1f} GB are free"
        raise error("io", work.parent, what, "free some space or choose another disk with --out")


def _make_shards(
    job: Job[Task], tasks: Sequence[Task], engine: Engine | None, progress: Callable[[Task, Receipt], None]
) -> list[Receipt]:
    """Receipts in the order of the tasks, whatever order the shards were finished in."""
    by_path = {task.target.path: task for task in tasks}
    receipts: dict[str, Receipt] = {}
    for receipt in run(job.make, tasks, engine, name=lambda task: task.target.path):
        receipts[receipt.path] = receipt
        progress(by_path[receipt.path], receipt)
    return [receipts[path] for path in by_path]


def _write_rejects(path: Path, problems: Iterable[Problem]) -> tuple[int, str]:
    lines = [json.dumps(dataclasses.asdict(problem)) + "\n" for problem in problems]
    return storage.write_file(path, "".join(lines).encode())


def _publish(
    outline: Outline,
    folder: Path,
    tree: Path,
    receipts: list[Receipt],
    problems: list[Problem],
    known: list[Artifact],
) -> tuple[Artifact, bool]:
    """Complete the tree and give it its name, unless the newest version already holds the same."""
    previous = known[-1] if known else None
    version = next_version(
        previous.manifest if previous else None,
        input_digests(previous.inputs()) if previous else {},
        outline.recipe,
        {row.sample_id: tuple(file.blake3 for file in row.files) for r in receipts for row in r.rows},
    )
    _remove_strays(tree, receipts)
    files = {r.path: File(r.size, r.blake3) for r in receipts if r.rows}
    for name, data in describe(outline, version, receipts).items():
        files[name] = File(*storage.write_file(tree / name, data))
    if problems:
        files[REJECTS] = File(*_write_rejects(tree / REJECTS, problems))
    whole = manifest(outline, version, receipts, len(problems), files)
    if previous and previous.manifest.content() == whole.content():
        return previous, False
    storage.write_file(tree / FILE, whole.to_json())
    for directory in sorted({path.parent for path in tree.rglob("*")}):
        storage.sync_dir(directory)
    storage.publish(tree, folder / version)
    return open_artifact(folder / version), True


def _remove_strays(tree: Path, receipts: list[Receipt]) -> None:
    """Whatever an earlier run left in the tree that this one does not name."""
    wanted = {r.path for r in receipts if r.rows}
    for path in sorted(tree.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(tree).as_posix() not in wanted:
            storage.remove_file(path)
        elif path.is_dir() and not any(path.iterdir()):
            storage.remove_tree(path)

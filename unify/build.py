"""Carry out a plan: shards through an engine, then the files that describe them, then one rename.

    out/<name>/.work/      scratch: temporary files, receipts, and the tree as it grows
    out/<name>/<version>/  the tree, once whole

Killed at any moment there is no version or a whole one. The next run takes over the shards that were finished
and would come out the same, also when faulty files were mended in between: only their shards are made again.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unify import storage
from unify.artifact import Artifact, open_artifact, versions
from unify.codecs import MAX_PIXELS
from unify.describe import describe, input_digests, manifest
from unify.engine import Engine, run
from unify.errors import Problem, UnifyError, error
from unify.manifest import FILE, File, next_version
from unify.plan import Plan, Shard, under
from unify.shard import Receipt, Task, changed, make_shard, tasks_of

REJECTS = "rejects.jsonl"


@dataclass(frozen=True, slots=True)
class Result:
    """The version that now stands for the plan; `fresh` is false when it stood there before."""

    artifact: Artifact
    fresh: bool
    problems: tuple[Problem, ...]


def build(
    plan: Plan,
    out: Path,
    *,
    engine: Engine | None = None,
    keep_going: bool = False,
    follow_links: bool = False,
    max_pixels: int = MAX_PIXELS,
    progress: Callable[[Shard, Receipt], None] = lambda shard, receipt: None,
) -> Result:
    """Make the version that `plan` describes below `out`, or find that it is there already.

    Args:
        engine: where shards are made; None for this process.
        keep_going: leave faulty samples out instead of refusing; they are listed in rejects.jsonl.
        follow_links: let symbolic links lead out of the roots.
        max_pixels: the largest image to accept, in pixels.
        progress: called after each shard.

    Raises:
        UnifyError: every problem of the raw data at once (65, 66, 77), or what kept the disk from
            taking the result (73, 74), or busy (75). No version is written then.
    """
    folder = out / plan.name
    storage.make_dirs(folder)
    with storage.lock(folder):
        storage.remove_file(folder / REJECTS)
        known, work = versions(folder), folder / ".work"
        tree = work / "tree"
        if not tree.exists():  # what a build that was killed right after publishing left
            storage.remove_tree(work)
        if not plan.problems and (standing := _standing(plan, known)):
            return Result(standing, False, ())
        tasks = tasks_of(plan, tree, work, follow_links=follow_links, max_pixels=max_pixels)
        _prepare(work, tasks)
        receipts = _make_shards(tasks, engine, progress)
        problems = [*plan.problems, *(p for receipt in receipts for p in receipt.problems)]
        problems += _changed_meanwhile(plan, receipts)
        if problems and not keep_going:
            _write_rejects(folder / REJECTS, problems)
            raise UnifyError(*problems)
        if not any(receipt.rows for receipt in receipts):
            raise error("empty-split", plan.name, "there is no sample to build from", "check `unify doctor`")
        artifact, fresh = _publish(plan, folder, tree, receipts, problems, known)
        storage.remove_tree(work)
        return Result(artifact, fresh, tuple(problems))


def _standing(plan: Plan, known: list[Artifact]) -> Artifact | None:
    """The newest version, if it was made by this very plan without rejects and no raw file changed since."""
    if not known or known[-1].manifest.plan != plan.digest() or known[-1].manifest.rejects:
        return None
    digests = input_digests(known[-1].inputs())
    samples = [(plan.roots[shard.source].root, sample) for shard in plan.shards for sample in shard.samples]

    def same(item: tuple[Path, Any]) -> bool:
        root, sample = item
        now = (storage.hash_file(root / sample.image)[1], storage.hash_file(root / sample.label)[1])
        return digests.get(sample.sample_id) == now

    with ThreadPoolExecutor() as pool:
        return known[-1] if all(pool.map(same, samples)) else None


def _prepare(work: Path, tasks: list[Task]) -> None:
    """The folders, without what a killed run left half done; refuse early when the disk is too full."""
    storage.remove_tree(work / "tmp")
    for name in ("tmp", "receipts", "tree"):
        storage.make_dirs(work / name)
    for folder in sorted({(task.tree / task.shard.path).parent for task in tasks}):
        storage.make_dirs(folder)
    missing = sum(t.shard.input_bytes for t in tasks if not (t.tree / t.shard.path).exists())
    free = shutil.disk_usage(work).free
    if missing > free:
        what = f"needs about {missing / 1e9:.1f} GB more, {free / 1e9:.1f} GB are free"
        raise error("io", work.parent, what, "free some space or choose another disk with --out")


def _make_shards(tasks: list[Task], engine: Engine | None, progress: Callable[[Shard, Receipt], None]) -> list[Receipt]:
    """Receipts in the order of the tasks, whatever order the shards were finished in."""
    shards = {task.shard.path: task.shard for task in tasks}
    receipts: dict[str, Receipt] = {}
    for receipt in run(make_shard, tasks, engine, name=lambda task: task.shard.path):
        receipts[receipt.path] = receipt
        progress(shards[receipt.path], receipt)
    return [receipts[path] for path in shards]


def _changed_meanwhile(plan: Plan, receipts: Iterable[Receipt]) -> Iterator[Problem]:
    roots = {shard.path: plan.roots[shard.source].root for shard in plan.shards}
    for receipt in receipts:
        root = roots[receipt.path]
        for row in receipt.rows:
            for file in (row.image, row.label):
                if changed(root, file):
                    fix = "let nothing write to the raw data, and build again"
                    yield from under(
                        root, [Problem("changed-while-reading", file.path, "changed during the build", fix)]
                    )


def _write_rejects(path: Path, problems: Iterable[Problem]) -> tuple[int, str]:
    lines = [json.dumps(dataclasses.asdict(problem)) + "\n" for problem in problems]
    return storage.write_file(path, "".join(lines).encode())


def _publish(
    plan: Plan,
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
        plan.recipe,
        {row.sample_id: (row.image.blake3, row.label.blake3) for r in receipts for row in r.rows},
    )
    _remove_strays(tree, receipts)
    files = {r.path: File(r.size, r.blake3) for r in receipts if r.rows}
    for name, data in describe(plan, version, receipts).items():
        files[name] = File(*storage.write_file(tree / name, data))
    if problems:
        files[REJECTS] = File(*_write_rejects(tree / REJECTS, problems))
    whole = manifest(plan, version, receipts, len(problems), files)
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

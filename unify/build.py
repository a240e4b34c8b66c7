"""Carry out a plan: raw roots in, a version out. How a version comes to be, killed or not, is `commit`'s matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from unify import storage
from unify.artifact import Artifact
from unify.codecs import MAX_PIXELS
from unify.commit import REJECTS, Job, Result, commit
from unify.describe import Origin, Outline, Part, input_digests
from unify.engine import Engine
from unify.errors import Problem
from unify.plan import Plan, Shard, under
from unify.rows import Receipt
from unify.shard import changed, make_shard, tasks_of

__all__ = ["REJECTS", "Result", "build"]


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
    job = Job(
        outline=_outline(plan),
        tasks=lambda tree, work: tasks_of(plan, tree, work, follow_links=follow_links, max_pixels=max_pixels),
        make=make_shard,
        problems=plan.problems,
        is_current=lambda version: _has_same_inputs(plan, version),
        look_again=lambda receipts: _changed_meanwhile(plan, receipts),
    )
    return commit(
        job,
        out,
        engine=engine,
        keep_going=keep_going,
        progress=lambda task, receipt: progress(task.shard, receipt),
    )


def _outline(plan: Plan) -> Outline:
    return Outline(
        name=plan.name,
        digest=plan.digest(),
        recipe=plan.recipe,
        taxonomy=plan.taxonomy,
        options=plan.options,
        origins={
            name: Origin.of(plan.sources[name], found.release, found.generated) for name, found in plan.roots.items()
        },
        parts=tuple(Part(shard.source, shard.split, shard.path) for shard in plan.shards),
    )


def _has_same_inputs(plan: Plan, version: Artifact) -> bool:
    """Whether no raw file of the plan changed since `version` was made from them."""
    digests = input_digests(version.inputs())
    samples = [(plan.roots[shard.source].root, sample) for shard in plan.shards for sample in shard.samples]

    def same(item: tuple[Path, Any]) -> bool:
        root, sample = item
        now = tuple(storage.hash_file(root / path)[1] for path in sample.files)
        return digests.get(sample.sample_id) == now

    with ThreadPoolExecutor() as pool:
        return all(pool.map(same, samples))


def _changed_meanwhile(plan: Plan, receipts: Sequence[Receipt]) -> Iterator[Problem]:
    roots = {shard.path: plan.roots[shard.source].root for shard in plan.shards}
    for receipt in receipts:
        root = roots[receipt.path]
        for row in receipt.rows:
            for file in row.files:
                if changed(root, file):
                    fix = "let nothing write to the raw data, and build again"
                    yield from under(
                        root, [Problem("changed-while-reading", file.path, "changed during the build", fix)]
                    )

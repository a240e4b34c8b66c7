"""How long a build will take, measured on a sample of each source."""

from __future__ import annotations

import time
from pathlib import Path

from unify.plan import Plan
from unify.shard import convert_first, tasks_of

#: Copying a shard to disk, on top of converting it; a disk slower than this sets the pace itself.
_WRITE_BYTES_PER_S = 1e9


def seconds_to_build(plan: Plan, workers: int) -> float:
    """Convert one sample of each source and split, twice (the first time compiles), and scale up."""
    seconds = 0.0
    shards: dict[tuple[str, str], int] = {}
    for shard in plan.shards:
        shards[shard.source, shard.split] = shards.get((shard.source, shard.split), 0) + len(shard.samples)
    nowhere = Path()
    for task in tasks_of(plan, nowhere, nowhere):
        if task.shard.index:
            continue
        convert_first(task)
        started = time.perf_counter()
        convert_first(task)
        seconds += (time.perf_counter() - started) * shards[task.shard.source, task.shard.split]
    return (seconds + plan.input_bytes / _WRITE_BYTES_PER_S) / workers

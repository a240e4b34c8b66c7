"""`unify convert` against decoding, mapping and encoding with Pillow, from version to version.

    python -m benchmarks.convert [--images 60] [--rounds 5] [--scratch /dev/shm]

"labels": label bytes in, label bytes and counts out, in memory. "whole version": both read the shards of a version
of generated scenes at full size and write Parquet files with the same columns, images untouched; these are most
of the bytes, and ours reads and writes them with more care: it checks the parent's digests, hashes what it writes,
syncs to disk, and writes statistics and the card.

The plain way decodes labels with Pillow, maps them through a table, counts them with `np.bincount` and saves with
Pillow's defaults. Results are compared in a first round, which is not counted; rounds alternate, medians are
compared; one process each, kernels compiled. Put `--scratch` into memory to compare programs, on a disk to see the
disk. Memory is made ready first (`benchmarks.memory`).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from benchmarks.memory import warm
from unify.artifact import Artifact
from unify.build import build
from unify.commit import commit
from unify.convert import Relabel, conversion
from unify.derive import Record, read_records
from unify.features import arrow_schema
from unify.parquet import ARROW_OPTIONS
from unify.plan import plan_build
from unify.roots import resolve_roots
from unify.sample import write_streets
from unify.sources import SOURCES
from unify.taxonomy import taxonomy_for

RESULTS = Path(__file__).parent / "results" / "convert.json"
CASES = {"cityscapes": ("C", "2048x1024, PNG images"), "bdd100k": ("B", "1280x720, JPEG images")}
TARGET = "cityscapes19"


def parent_of(letter: str, source: str, images: int, folder: Path) -> Artifact:
    streets = folder / f"streets-{source}"
    write_streets(streets, [letter], images=images, seed=0, size="full", workers=os.cpu_count() or 1)
    found = resolve_roots(letter, [str(streets)], environ={})
    release = SOURCES[source].releases[found[source].release]
    taxonomy = taxonomy_for({source: release.space}, {source: release.train_space}, "union70")
    return build(plan_build(found, taxonomy, ["train"]), folder / "out").artifact


def plain_label(data: bytes, table: NDArray[np.uint8]) -> tuple[bytes, NDArray[np.int64]]:
    mapped = table[np.asarray(Image.open(io.BytesIO(data)))]
    buffer = io.BytesIO()
    Image.fromarray(mapped).save(buffer, "PNG")
    return buffer.getvalue(), np.bincount(mapped.ravel(), minlength=256)


def compare_labels(parent: Artifact, rounds: int) -> dict[str, object]:
    job = conversion(parent, TARGET)
    tasks = job.tasks(Path(), Path())
    records = [record for task in tasks for record in read_records(task)]
    (source,) = parent.manifest.sources
    relabel = tasks[0].row
    assert isinstance(relabel, Relabel)
    ways: dict[str, Callable[[Record], object]] = {
        "unify": lambda record: relabel(source, record),
        "pillow": lambda record: plain_label(record.label, relabel.routes[source].table),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, call in ways.items():
            start = time.perf_counter()
            for record in records:
                call(record)
            times[way].append(time.perf_counter() - start)
    return summary(times, len(records))


def summary(times: dict[str, list[float]], images: int) -> dict[str, object]:
    ms = {way: 1e3 * statistics.median(found) / images for way, found in times.items()}
    shown = {way: round(value, 2) for way, value in ms.items()}
    return {"images": images, "ms_per_image": shown, "times_faster": round(ms["pillow"] / ms["unify"], 1)}


def plain_way(parent: Artifact, out: Path) -> None:
    """Row group by row group, label by label."""
    job = conversion(parent, TARGET)
    (source,) = parent.manifest.sources
    table = job.tasks(out, out)[0].row.routes[source].table  # type: ignore[attr-defined]
    classes = job.outline.taxonomy.space.names
    schema = arrow_schema((), [source], classes)
    for path in (name for name in parent.manifest.files if name.startswith("data/")):
        target = out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetFile(parent.path / path) as file, pq.ParquetWriter(target, schema, **ARROW_OPTIONS) as writer:
            for group in range(file.num_row_groups):
                rows = file.read_row_group(group)
                labels, counts = [], []
                for label in rows["label"].to_pylist():
                    data, counted = plain_label(label["bytes"], table)
                    labels.append({"bytes": data, "path": label["path"]})
                    counts.append([*counted[: len(classes)].tolist(), int(counted[255])])
                changed = {
                    "label": pa.array(labels, schema.field("label").type),
                    "pixel_count": pa.array(counts, schema.field("pixel_count").type),
                    "classes": pa.array([[i for i, n in enumerate(c[:-1]) if n] for c in counts], pa.list_(pa.int64())),
                }
                columns = [changed.get(name, rows[name]) for name in schema.names]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def check(ours: Artifact, plain: Path) -> None:
    """Both wrote the same pixels and counts."""
    for path in (name for name in ours.manifest.files if name.startswith("data/")):
        one, other = (pq.read_table(folder / path, partitioning=None).to_pylist() for folder in (ours.path, plain))
        for row, expected in zip(one, other, strict=True):
            a, b = (np.asarray(Image.open(io.BytesIO(r["label"]["bytes"]))) for r in (row, expected))
            assert np.array_equal(a, b)
            assert row["pixel_count"] == expected["pixel_count"]
            assert row["image"]["bytes"] == expected["image"]["bytes"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scratch", type=Path, help="where to write")
    args = parser.parse_args()
    results: dict[str, object] = {
        "command": f"python -m benchmarks.convert --images {args.images} --rounds {args.rounds}"
        + (f" --scratch {args.scratch}" if args.scratch else "")
    }
    with tempfile.TemporaryDirectory(dir=args.scratch) as folder, warm(4 << 30):
        for source, (letter, what) in CASES.items():
            parent = parent_of(letter, source, args.images, Path(folder))
            times: dict[str, list[float]] = {"unify": [], "pillow": []}
            for round_ in range(args.rounds + 1):
                outs = {way: Path(folder) / way for way in times}
                os.sync()
                start = time.perf_counter()
                ours = commit(conversion(parent, TARGET), outs["unify"]).artifact
                middle = time.perf_counter()
                plain_way(parent, outs["pillow"])
                end = time.perf_counter()
                if round_:
                    times["unify"].append(middle - start)
                    times["pillow"].append(end - middle)
                else:
                    check(ours, outs["pillow"])
                for out in outs.values():
                    shutil.rmtree(out)
            results[f"whole version, {what}"] = summary(times, args.images)
            results[f"labels, {what}"] = compare_labels(parent, args.rounds)
    for name, result in results.items():
        print(f"{name}: {json.dumps(result)}")
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

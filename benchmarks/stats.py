"""`unify stats` on 40,000 images: seconds from the start of the process to its end.

    python -m benchmarks.stats [--images 40000] [--rounds 5]

The version is made for the purpose: real columns, schema and row groups, four sources in union70, class
counts as sparse as those of street scenes, but images of a few bytes. It has as many files and row groups as
images of 2 MB would give (64 a file, 16 a row group), since opening those is most of the work. Everything
is read from the page cache. For comparison: what decoding a full-size label costs, and --adjacency on it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unify.artifact import open_artifact
from unify.codecs import encode_label, read_label
from unify.features import arrow_schema, columns
from unify.manifest import FILE, File, Manifest
from unify.parquet import ARROW_OPTIONS
from unify.plan import Shard
from unify.sample import write_streets
from unify.stats import adjacency
from unify.taxonomy import Taxonomy, taxonomy_for

RESULTS = Path(__file__).parent / "results" / "stats.json"
#: source -> raw space, training space, share of the images
SOURCES = {
    "cityscapes": ("cityscapes", "cityscapes19", 0.1),
    "idd": ("idd", "idd26", 0.2),
    "bdd100k": ("bdd100k", "bdd19", 0.2),
    "mapillary": ("mapillary-v1.2", "mapillary65", 0.5),
}
SPLITS = {"train": 0.9, "val": 0.1}
ROWS_PER_FILE, ROWS_PER_GROUP = 64, 16
HEIGHT, WIDTH = 1024, 2048
LIMIT_S = 2.0
CASES = {
    "unify stats": [],
    "unify stats --per-source --weights --cooccurrence": ["--per-source", "--weights", "--cooccurrence"],
    "unify stats --json": ["--json"],
    "unify stats -o chart.png": ["-o", "chart.png"],
}


def scene_counts(rng: np.random.Generator, images: int, annotated: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(N, K + 1) int64: few classes large and in most images, many small and rare; void last."""
    num_classes = len(annotated)
    rank = np.random.default_rng(0).permutation(num_classes)  # the same for all sources
    shown = (rng.random((images, num_classes)) < np.exp(-rank / 15)) & annotated
    areas = np.where(shown, rng.lognormal(8 - rank / 12, 1.0, (images, num_classes)) + 1, 0)
    pixels = (areas / (areas.sum(axis=1, keepdims=True) + 1) * 0.95 * HEIGHT * WIDTH).astype(np.int64)
    return np.column_stack([pixels, HEIGHT * WIDTH - pixels.sum(axis=1)])


def write_version(folder: Path, images: int) -> Path:
    """A version of that many images below `folder`."""
    raw, train = ({name: space[i] for name, space in SOURCES.items()} for i in (0, 1))
    taxonomy = taxonomy_for(raw, train, "union70")
    rng = np.random.default_rng(1)
    files: dict[str, File] = {}
    splits: dict[str, dict[str, int]] = {}
    for source, (_, _, share) in SOURCES.items():
        splits[source] = {split: round(images * share * part) for split, part in SPLITS.items()}
        for split, count in splits[source].items():
            shards = -(-count // ROWS_PER_FILE)
            for i in range(shards):
                path = Shard(source, split, i, shards, ()).path
                rows = min(ROWS_PER_FILE, count - i * ROWS_PER_FILE)
                table = rows_of(taxonomy, source, rows, f"{split}-{i}", rng)
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(table, folder / path, row_group_size=ROWS_PER_GROUP, **ARROW_OPTIONS)
                files[path] = File(0, "")
    (folder / "taxonomy.json").write_text(json.dumps(taxonomy.to_json()))
    files["taxonomy.json"] = File(0, "")
    manifest = Manifest(
        name="cibm-union70",
        version="1.0.0",
        plan="",
        recipe={},
        space=taxonomy.space.name,
        classes=len(taxonomy.space),
        columns=tuple(columns(())),
        sources={name: {"release": "", "generated": True, "splits": splits[name]} for name in SOURCES},
        images=sum(sum(s.values()) for s in splits.values()),
        rejects=0,
        parents=(),
        made_with={},
        files=files,
    )
    (folder / FILE).write_bytes(manifest.to_json())
    return folder


def rows_of(taxonomy: Taxonomy, source: str, rows: int, stem: str, rng: np.random.Generator) -> pa.Table:
    index = taxonomy.sources.index(source)
    counts = scene_counts(rng, rows, taxonomy.null_mask[index])
    tiny = {"bytes": b"no image", "path": "0.png"}
    values = {
        "image": [tiny] * rows,
        "label": [tiny] * rows,
        "source": [index] * rows,
        "sample_id": [f"{source}/{stem}-{k}" for k in range(rows)],
        "height": [HEIGHT] * rows,
        "width": [WIDTH] * rows,
        "classes": [np.flatnonzero(row[:-1]).tolist() for row in counts],
        "pixel_count": counts.tolist(),
    }
    return pa.table(values, schema=arrow_schema((), taxonomy.sources, taxonomy.space.names))


def street_labels(scratch: Path, num: int) -> list[bytes]:
    """Generated Cityscapes labels of full size, 2048x1024, in the PNG form of a version."""
    write_streets(scratch / "streets", ["C"], images=num, seed=0, size="full")
    found = sorted((scratch / "streets").rglob("*_labelIds.png"))[:num]
    table = taxonomy_for({"cityscapes": "cityscapes"}, {"cityscapes": "cityscapes19"}).table("cityscapes")
    return [encode_label(read_label(path.read_bytes()), table)[0] for path in found]


def timed(call: Callable[[], object], rounds: int) -> list[float]:
    """Seconds of each of `rounds` calls, after one for warming up."""
    found = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        call()
        found.append(round(time.perf_counter() - start, 3))
    return found[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        version = write_version(Path(scratch) / "cibm-union70" / "1.0.0", args.images)
        files = open_artifact(version).manifest.files
        data_bytes = sum((version / name).stat().st_size for name in files)
        print(f"{args.images:,} images in {len(files) - 1} files, {data_bytes / 1e6:.0f} MB", flush=True)
        results: dict[str, object] = {
            "command": f"python -m benchmarks.stats --images {args.images} --rounds {args.rounds}",
            "images": args.images,
            "files": len(files) - 1,
            "limit_seconds": LIMIT_S,
        }
        slowest = 0.0
        for name, options in CASES.items():
            command = [sys.executable, "-m", "unify", "stats", str(version), *options]
            seconds = timed(
                lambda command=command: subprocess.run(
                    command, check=True, capture_output=True, cwd=scratch, env={"PYTHONPATH": str(Path.cwd())}
                ),
                args.rounds,
            )
            median = statistics.median(seconds)
            slowest = max(slowest, median)
            results[name] = {"seconds": seconds, "median": median}
            print(f"{name}: {median:.2f} s", flush=True)

        labels = street_labels(Path(scratch), 8)
        num_classes = len(open_artifact(version).taxonomy.space)
        ways: dict[str, Callable[[], object]] = {
            "decode a label of 2048x1024": lambda: [read_label(data) for data in labels],
            "decode it and count its borders": lambda: adjacency(map(read_label, labels), num_classes),
        }
        for name, way in ways.items():
            ms = 1e3 * statistics.median(timed(way, args.rounds)) / len(labels)
            results[name] = {"milliseconds": round(ms, 2)}
            print(f"{name}: {ms:.1f} ms (x {args.images:,} = {ms * args.images / 1e3:.0f} s)", flush=True)
    results["passed"] = slowest <= LIMIT_S
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(f"limit {LIMIT_S} s: {'passed' if slowest <= LIMIT_S else 'FAILED'}")


if __name__ == "__main__":
    main()

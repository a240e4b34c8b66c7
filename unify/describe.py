"""The files beside the shards: statistics, inputs, taxonomy, names, card. Pure functions of plan and receipts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import PIL
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unify import __version__
from unify.card import card
from unify.features import columns
from unify.manifest import File, Manifest
from unify.plan import Plan, Shard
from unify.shard import Receipt, Row
from unify.taxonomy import Taxonomy


def describe(plan: Plan, version: str, receipts: Sequence[Receipt]) -> dict[str, bytes]:
    """Name → bytes of every file of a version but its shards and its manifest."""
    taxonomy = plan.taxonomy
    stats = count(plan, receipts)
    return {
        "taxonomy.json": _json(taxonomy.to_json()),
        "id2label.json": _json(taxonomy.id2label()),
        "stats.parquet": _parquet(stats),
        "inputs.parquet": _parquet(inputs(plan, receipts)),
        "README.md": card(plan, version, stats, splits(plan, receipts)).encode(),
    }


def manifest(plan: Plan, version: str, receipts: Sequence[Receipt], rejects: int, files: dict[str, File]) -> Manifest:
    per_source = splits(plan, receipts)
    return Manifest(
        name=plan.name,
        version=version,
        plan=plan.digest(),
        recipe=plan.recipe,
        space=plan.taxonomy.space.name,
        classes=len(plan.taxonomy.space),
        columns=tuple(columns(plan.options)),
        sources={
            name: {"release": found.release, "generated": found.generated, "splits": per_source[name]}
            for name, found in plan.roots.items()
        },
        images=sum(len(r.rows) for r in receipts),
        rejects=rejects,
        parents=(),
        made_with={"unify": __version__, "pyarrow": pa.__version__, "pillow": PIL.__version__},  # it draws polygons
        files=dict(sorted(files.items())),
    )


def _rows(plan: Plan, receipts: Sequence[Receipt]) -> Iterator[tuple[Shard, Row]]:
    for shard, receipt in zip(plan.shards, receipts, strict=True):
        for row in receipt.rows:
            yield shard, row


def splits(plan: Plan, receipts: Sequence[Receipt]) -> dict[str, dict[str, int]]:
    """Source → split → images, without empty splits."""
    found: dict[str, dict[str, int]] = {name: {} for name in plan.roots}
    for shard, _ in _rows(plan, receipts):
        found[shard.source][shard.split] = found[shard.source].get(shard.split, 0) + 1
    return found


def code_names(taxonomy: Taxonomy) -> list[str]:
    """Names of the codes in `pixel_count`: classes, sets as "a | b", and void last."""
    return [*taxonomy.space.names, *(" | ".join(names) for names in taxonomy.sets), "void"]


def count(plan: Plan, receipts: Sequence[Receipt]) -> pa.Table:
    """Rows of source, split, class_id, class, pixels, images; class_id is the pixel value, 255 for void."""
    names = code_names(plan.taxonomy)
    ids = [*range(len(names) - 1), plan.taxonomy.space.void]
    pixels: dict[tuple[str, str], NDArray[np.int64]] = {}
    images: dict[tuple[str, str], NDArray[np.int64]] = {}
    for shard, row in _rows(plan, receipts):
        key, counts = (shard.source, shard.split), np.array(row.pixel_count, np.int64)
        pixels[key] = pixels.get(key, np.zeros_like(counts)) + counts
        images[key] = images.get(key, np.zeros_like(counts)) + (counts > 0)
    table: dict[str, list[Any]] = {n: [] for n in ("source", "split", "class_id", "class", "pixels", "images")}
    for source, split in pixels:
        values = (pixels[source, split].tolist(), images[source, split].tolist())
        for class_id, name, n_pixels, n_images in zip(ids, names, *values, strict=True):
            for column, value in zip(table.values(), (source, split, class_id, name, n_pixels, n_images), strict=True):
                column.append(value)
    types = [pa.string(), pa.string(), pa.int64(), pa.string(), pa.int64(), pa.int64()]
    return pa.table([pa.array(v, t) for v, t in zip(table.values(), types, strict=True)], names=list(table))


def inputs(plan: Plan, receipts: Sequence[Receipt]) -> pa.Table:
    """A row a sample: its shard, and path, bytes and BLAKE3 of its image and label in the raw root."""
    rows = [
        {
            "source": shard.source,
            "split": shard.split,
            "sample_id": row.sample_id,
            "shard": shard.path,
            "image": row.image.path,
            "image_bytes": row.image.size,
            "image_blake3": row.image.blake3,
            "label": row.label.path,
            "label_bytes": row.label.size,
            "label_blake3": row.label.blake3,
        }
        for shard, row in _rows(plan, receipts)
    ]
    return pa.Table.from_pylist(rows)


def input_digests(table: pa.Table) -> dict[str, tuple[str, str]]:
    """From an `inputs` table: sample_id → BLAKE3 of image and label."""
    names = ("sample_id", "image_blake3", "label_blake3")
    return {s: (image, label) for s, image, label in zip(*(table[n].to_pylist() for n in names), strict=True)}


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return bytes(sink.getvalue())

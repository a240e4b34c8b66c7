"""The files beside the shards: statistics, inputs, taxonomy, names, card. Pure functions of outline and receipts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
from unify.rows import Receipt, Row
from unify.sources import Source
from unify.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class Origin:
    """What a version says about one of its sources."""

    release: str
    generated: bool
    letter: str
    title: str
    homepage: str
    license: str
    citation: str

    @classmethod
    def of(cls, source: Source, release: str, generated: bool) -> Origin:
        return cls(release, generated, source.letter, source.title, source.homepage, source.license, source.citation)


@dataclass(frozen=True, slots=True)
class Part:
    """A shard's place in a version: its source, split and path."""

    source: str
    split: str
    path: str


@dataclass(frozen=True, slots=True)
class Outline:
    """A version before it has rows: what it is called and made of. `digest` is that of the work to be done."""

    name: str
    digest: str
    recipe: Mapping[str, Any]
    taxonomy: Taxonomy
    options: tuple[str, ...]
    origins: Mapping[str, Origin]  # by source
    parts: tuple[Part, ...]
    parents: tuple[str, ...] = ()  # digests of the versions it is made from
    tables: Mapping[str, pa.Table] = field(default_factory=dict)  # further ones: `<name>.parquet`, config `<name>`
    notes: tuple[str, ...] = ()  # paragraphs for the card
    column_texts: Mapping[str, str] = field(default_factory=dict)  # for the card, where they are not the usual


def describe(outline: Outline, version: str, receipts: Sequence[Receipt]) -> dict[str, bytes]:
    """Name → bytes of every file of a version but its shards and its manifest."""
    taxonomy = outline.taxonomy
    stats = count(outline, receipts)
    together = cooccurrence(outline, receipts)
    return {
        "taxonomy.json": _json(taxonomy.to_json()),
        "id2label.json": _json(taxonomy.id2label()),
        "stats.parquet": to_parquet(stats),
        "cooccurrence.parquet": to_parquet(together),
        "inputs.parquet": to_parquet(inputs(outline, receipts)),
        **{f"{name}.parquet": to_parquet(table) for name, table in outline.tables.items()},
        "README.md": card(outline, version, stats, splits(outline, receipts)).encode(),
    }


def manifest(
    outline: Outline, version: str, receipts: Sequence[Receipt], rejects: int, files: dict[str, File]
) -> Manifest:
    per_source = splits(outline, receipts)
    return Manifest(
        name=outline.name,
        version=version,
        plan=outline.digest,
        recipe=dict(outline.recipe),
        space=outline.taxonomy.space.name,
        classes=len(outline.taxonomy.space),
        columns=tuple(columns(outline.options)),
        sources={
            name: {"release": origin.release, "generated": origin.generated, "splits": per_source[name]}
            for name, origin in outline.origins.items()
        },
        images=sum(len(r.rows) for r in receipts),
        rejects=rejects,
        parents=outline.parents,
        made_with={"unify": __version__, "pyarrow": pa.__version__, "pillow": PIL.__version__},  # it draws polygons
        files=dict(sorted(files.items())),
    )


def _rows(outline: Outline, receipts: Sequence[Receipt]) -> Iterator[tuple[Part, Row]]:
    for part, receipt in zip(outline.parts, receipts, strict=True):
        for row in receipt.rows:
            yield part, row


def splits(outline: Outline, receipts: Sequence[Receipt]) -> dict[str, dict[str, int]]:
    """Source → split → images, without empty splits."""
    found: dict[str, dict[str, int]] = {name: {} for name in outline.origins}
    for part, _ in _rows(outline, receipts):
        found[part.source][part.split] = found[part.source].get(part.split, 0) + 1
    return found


def code_names(taxonomy: Taxonomy) -> list[str]:
    """Names of the codes in `pixel_count`: classes, sets as "a | b", and void last."""
    return [*taxonomy.space.names, *(" | ".join(names) for names in taxonomy.sets), "void"]


def count(outline: Outline, receipts: Sequence[Receipt]) -> pa.Table:
    """Rows of source, split, class_id, class, pixels, images, instances; class_id is the pixel value, 255 for void.

    `instances` is null where the source does not tell things apart, or nobody asked.
    """
    names = code_names(outline.taxonomy)
    ids = [*range(len(names) - 1), outline.taxonomy.space.void]
    zeros = np.zeros(len(names), np.int64)
    pixels: dict[tuple[str, str], NDArray[np.int64]] = {}
    images: dict[tuple[str, str], NDArray[np.int64]] = {}
    instances: dict[tuple[str, str], NDArray[np.int64]] = {}
    for part, row in _rows(outline, receipts):
        key, counts = (part.source, part.split), np.array(row.pixel_count, np.int64)
        pixels[key] = pixels.get(key, zeros) + counts
        images[key] = images.get(key, zeros) + (counts > 0)
        if row.instance_count is not None:
            instances[key] = instances.get(key, zeros) + np.array(row.instance_count, np.int64)
    types = {"source": pa.string(), "split": pa.string(), "class_id": pa.int64(), "class": pa.string()}
    types |= dict.fromkeys(("pixels", "images", "instances"), pa.int64())
    table: dict[str, list[Any]] = {name: [] for name in types}
    for key in pixels:
        n_instances = instances[key].tolist() if key in instances else [None] * len(names)
        values = zip(ids, names, pixels[key].tolist(), images[key].tolist(), n_instances, strict=True)
        for row_values in values:
            for column, value in zip(table.values(), (*key, *row_values), strict=True):
                column.append(value)
    return pa.table([pa.array(table[name], kind) for name, kind in types.items()], names=list(types))


def cooccurrence(outline: Outline, receipts: Sequence[Receipt]) -> pa.Table:
    """Rows of source, split, class_a, class_b, images: how many images show both classes.

    Each pair that any image shows once, class_a being the one with the lower id. Sets and void are no classes.
    """
    names = outline.taxonomy.space.names
    shown: dict[tuple[str, str], list[tuple[int, ...]]] = {}
    for part, row in _rows(outline, receipts):
        shown.setdefault((part.source, part.split), []).append(row.pixel_count[: len(names)])
    table: dict[str, list[Any]] = {name: [] for name in ("source", "split", "class_a", "class_b", "images")}
    for (source, split), counts in shown.items():
        present = (np.array(counts, np.int64) > 0).astype(np.float64)  # BLAS; exact for up to 2**53 images
        together = np.triu(present.T @ present, 1)
        first, second = np.nonzero(together)
        table["source"] += [source] * len(first)
        table["split"] += [split] * len(first)
        table["class_a"] += [names[i] for i in first.tolist()]
        table["class_b"] += [names[i] for i in second.tolist()]
        table["images"] += together[first, second].astype(np.int64).tolist()
    text = pa.string()
    return pa.table(
        [pa.array(values, pa.int64() if name == "images" else text) for name, values in table.items()],
        names=list(table),
    )


def inputs(outline: Outline, receipts: Sequence[Receipt]) -> pa.Table:
    """A row a sample: its shard, and path, bytes and BLAKE3 of its image and label in the raw root.

    With instances, the same of the instance image; null where there is none.
    """
    has_instances = "instances" in outline.options
    rows = [
        {
            "source": part.source,
            "split": part.split,
            "sample_id": row.sample_id,
            "shard": part.path,
            "image": row.image.path,
            "image_bytes": row.image.size,
            "image_blake3": row.image.blake3,
            "label": row.label.path,
            "label_bytes": row.label.size,
            "label_blake3": row.label.blake3,
            **(_instance_facts(row) if has_instances else {}),
        }
        for part, row in _rows(outline, receipts)
    ]
    if not has_instances:
        return pa.Table.from_pylist(rows)
    types = {name: pa.int64() if name.endswith("_bytes") else pa.string() for name in rows[0]}
    return pa.Table.from_pylist(rows, pa.schema(list(types.items())))


def _instance_facts(row: Row) -> dict[str, Any]:
    file = row.instance
    names = ("instance", "instance_bytes", "instance_blake3")
    return dict(zip(names, (file.path, file.size, file.blake3) if file else (None, None, None), strict=True))


def input_digests(table: pa.Table) -> dict[str, tuple[str, ...]]:
    """From an `inputs` table: sample_id → BLAKE3 of image and label, and of the instance image if there is one."""
    names = [f"{kind}_blake3" for kind in ("image", "label", "instance") if kind in table.column_names]
    rows = zip(table["sample_id"].to_pylist(), *(table[name].to_pylist() for name in names), strict=True)
    return {sample_id: tuple(filter(None, digests)) for sample_id, *digests in rows}


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def to_parquet(table: pa.Table) -> bytes:
    """A small table as a file: compressed, a checksum on every page."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return bytes(sink.getvalue())

"""The contact sheet: image, the source's own label, the unified label, and what the colours mean."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.dataset as ds
from numpy.typing import NDArray

from unify.artifact import Artifact
from unify.codecs import read_label
from unify.report.draw import FAINT, PAPER, write

if TYPE_CHECKING:
    from PIL.Image import Image

TILE_WIDTH = 420
_GAP, _MARGIN, _LINE = 10, 28, 21


@dataclass(frozen=True, slots=True)
class Sample:
    """A row of a version, decoded: (H, W, 3) uint8 RGB, and ids (H, W) uint8."""

    source: str
    sample_id: str
    image_hwc: NDArray[np.uint8]
    label_hw: NDArray[np.uint8]
    native_hw: NDArray[np.uint8] | None


def pick(artifact: Artifact, per_source: int = 2, split: str | None = None) -> Iterator[Sample]:
    """For each source the `per_source` samples that show the most classes.

    Reads columns only to choose, and decodes only what it yields. `split` None means any.
    """
    columns = ["image", "label", *(["label_source"] if "label_source" in artifact.manifest.columns else [])]
    for source, facts in artifact.manifest.sources.items():
        splits = [split] if split else list(facts["splits"])
        files = [
            artifact.path / name
            for s in splits
            for name in artifact.manifest.files
            if name.startswith(f"data/{source}/{s}-")
        ]
        if not files:
            continue
        rows = ds.dataset(files, format="parquet")
        index = rows.to_table(columns=["classes", "sample_id"])
        richness = [len(c) for c in index["classes"].to_pylist()]
        order = sorted(range(len(richness)), key=lambda i: (-richness[i], i))[:per_source]
        for row in rows.take(sorted(order), columns=["sample_id", *columns]).to_pylist():
            native = row.get("label_source")
            yield Sample(
                source,
                row["sample_id"],
                _rgb(row["image"]["bytes"]),
                _ids(row["label"]["bytes"]),
                _ids(native["bytes"]) if native else None,
            )


def _ids(png: bytes) -> NDArray[np.uint8]:
    return read_label(png).astype(np.uint8, copy=False)


def _rgb(data: bytes) -> NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def contact_sheet(artifact: Artifact, samples: Sequence[Sample], tile_width: int = TILE_WIDTH) -> Image:
    """One row a sample, one column a view, a legend of the classes that appear (void is black)."""
    from PIL import Image, ImageDraw

    taxonomy = artifact.taxonomy
    palette = taxonomy.space.palette()
    with_native = any(s.native_hw is not None for s in samples)
    heads = ["image", *(["label of the source"] if with_native else []), f"label in {taxonomy.space.name}"]
    heights = [round(tile_width * s.image_hwc.shape[0] / s.image_hwc.shape[1]) for s in samples]
    width = 2 * _MARGIN + len(heads) * tile_width + (len(heads) - 1) * _GAP
    present = np.zeros(256, np.int64)
    for sample in samples:
        present += np.bincount(sample.label_hw.ravel(), minlength=256)
    shown = [i for i in np.argsort(-present[: len(taxonomy.space)], kind="stable") if present[i]]
    per_row = max(1, (width - 2 * _MARGIN) // 210)
    legend_rows = -(-(len(shown) + 1) // per_row)
    top = _MARGIN + 3 * _LINE
    height = top + sum(heights) + len(samples) * (_GAP + _LINE) + 2 * _LINE + legend_rows * _LINE + _MARGIN
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    manifest = artifact.manifest
    write(draw, (_MARGIN, _MARGIN - 6), f"{manifest.name} {manifest.version}", 22)
    sources = "1 source" if len(manifest.sources) == 1 else f"{len(manifest.sources)} sources"
    facts = f"{manifest.images:,} images, {manifest.classes} classes, {sources}"
    write(draw, (width - _MARGIN, _MARGIN - 2), facts, 15, FAINT, anchor="ra")
    for column, head in enumerate(heads):
        write(draw, (_MARGIN + column * (tile_width + _GAP), top - _LINE - 2), head, 14, FAINT)
    y = top
    for sample, tile_height in zip(samples, heights, strict=True):
        size = (tile_width, tile_height)
        tiles = [Image.fromarray(sample.image_hwc).resize(size, Image.Resampling.LANCZOS)]
        if with_native:
            raw = taxonomy.mappings[sample.source].source.palette()
            tiles.append(_colored(sample.native_hw, raw, size))
        tiles.append(_colored(sample.label_hw, palette, size))
        for column, tile in enumerate(tiles):
            sheet.paste(tile, (_MARGIN + column * (tile_width + _GAP), y))
        write(draw, (_MARGIN, y + tile_height + 2), sample.sample_id, 12, FAINT)
        y += tile_height + _GAP + _LINE
    y += _LINE
    entries = [(taxonomy.space.names[i], tuple(int(v) for v in palette[i])) for i in shown]
    for k, (name, color) in enumerate([*entries, ("void", (0, 0, 0))]):
        x = _MARGIN + (k % per_row) * ((width - 2 * _MARGIN) // per_row)
        line = y + (k // per_row) * _LINE
        draw.rounded_rectangle((x, line + 2, x + 22, line + 15), 3, fill=color)
        write(draw, (x + 30, line), name, 13)
    return sheet


def _colored(ids_hw: NDArray[np.uint8] | None, palette: NDArray[np.uint8], size: tuple[int, int]) -> Image:
    from PIL import Image

    if ids_hw is None:
        return Image.new("RGB", size, PAPER)
    return Image.fromarray(palette[ids_hw]).resize(size, Image.Resampling.BOX)

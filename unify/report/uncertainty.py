"""Maps of uncertainty to look at: image, prediction, entropy of pixels and of instances, weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unify.artifact import Artifact
from unify.codecs import read_ids16, read_label
from unify.codecs_rgb import read_rgb
from unify.errors import error
from unify.report.draw import FAINT, PAPER, write
from unify.uncertainty_maps import Maps

if TYPE_CHECKING:
    from PIL.Image import Image

TILE_WIDTH = 340
_GAP, _MARGIN, _LINE = 8, 24, 20
_TOP_SHARE = 99.5  #: percentile of a map that has the brightest colour


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """image_hwc: (H, W, 3) uint8. prediction_hw: (H, W) uint8. uncertainty_hw, entropy_hw: (H, W) float32, nats."""

    sample_id: str
    image_hwc: NDArray[np.uint8]
    prediction_hw: NDArray[np.uint8]
    uncertainty_hw: NDArray[np.float32]
    entropy_hw: NDArray[np.float32] | None


def pick(maps: Maps, artifact: Artifact, count: int) -> list[Seen]:
    """The `count` images of which the nets were the most unsure, decoded.

    Raises `UnifyError` (usage) if one of them is not in `artifact`.
    """
    means: dict[str, float] = {}
    for file in dict.fromkeys(file for file, _ in maps.place.values()):
        table = pq.read_table(file, columns=["sample_id", "mean"], partitioning=None)
        means |= dict(zip(table["sample_id"].to_pylist(), table["mean"].to_pylist(), strict=True))
    chosen = sorted(means, key=lambda name: (-means[name], name))[:count]
    inputs = artifact.inputs()
    shards = dict(zip(inputs["sample_id"].to_pylist(), inputs["shard"].to_pylist(), strict=True))
    if missing := [name for name in chosen if name not in shards]:
        fix = "give the version that the maps were made of"
        raise error("usage", artifact.path, f"has no image {missing[0]}", fix)
    found = []
    for name in chosen:
        image = _row(artifact.path / shards[name], name, ["image"])
        row = _row(maps.place[name][0], name, None)
        uncertainty_hw, entropy_hw = (
            None if row.get(column) is None else _nats(row[column]["bytes"], maps)
            for column in ("uncertainty", "entropy")
        )
        assert uncertainty_hw is not None, "every row has it"
        prediction_hw = read_label(row["prediction"]["bytes"]).astype(np.uint8, copy=False)
        found.append(Seen(name, read_rgb(image["image"]["bytes"]), prediction_hw, uncertainty_hw, entropy_hw))
    return found


def _row(file: Path, sample_id: str, columns: list[str] | None) -> dict[str, Any]:
    filters = [("sample_id", "=", sample_id)]
    rows = pq.read_table(file, columns=columns, filters=filters, partitioning=None).to_pylist()
    found: dict[str, Any] = rows[0]
    return found


def _nats(png: bytes, maps: Maps) -> NDArray[np.float32]:
    return (read_ids16(png) * maps.nats_per_step).astype(np.float32)


def draw_maps(maps: Maps, artifact: Artifact, samples: Sequence[Seen], tile_width: int = TILE_WIDTH) -> Image:
    """A row an image. One scale for both entropies, from 0; one for weights, from 1."""
    from PIL import Image, ImageDraw

    palette = artifact.taxonomy.space.palette()
    heads = ["image", "prediction", "entropy of the pixel", "of its instance (U)", "weight (1 + U)^2"]
    if not any(s.entropy_hw is not None for s in samples):
        heads.remove("entropy of the pixel")
    nats = [m for s in samples for m in (s.uncertainty_hw, s.entropy_hw) if m is not None]
    most = max(float(np.percentile(m, _TOP_SHARE)) for m in nats) or 1.0
    most_weight = (1 + max(float(np.percentile(s.uncertainty_hw, _TOP_SHARE)) for s in samples)) ** 2
    heights = [round(tile_width * s.image_hwc.shape[0] / s.image_hwc.shape[1]) for s in samples]
    width = 2 * _MARGIN + len(heads) * (tile_width + _GAP) - _GAP
    top = _MARGIN + 3 * _LINE
    sheet = Image.new("RGB", (width, top + sum(heights) + len(samples) * (_GAP + _LINE) + 2 * _LINE), PAPER)
    draw = ImageDraw.Draw(sheet)
    manifest = maps.artifact.manifest
    write(draw, (_MARGIN, _MARGIN - 6), f"{manifest.name} {manifest.version}", 20)
    write(
        draw, (width - _MARGIN, _MARGIN - 2), f"the most unsure of {manifest.images:,} images", 14, FAINT, anchor="ra"
    )
    for column, head in enumerate(heads):
        write(draw, (_MARGIN + column * (tile_width + _GAP), top - _LINE - 2), head, 13, FAINT)
    y = top
    for sample, height in zip(samples, heights, strict=True):
        maps_of = [sample.image_hwc, palette[sample.prediction_hw]]
        if len(heads) == 5:
            blank = np.broadcast_to(np.array(PAPER, np.uint8), sample.image_hwc.shape)
            maps_of.append(blank if sample.entropy_hw is None else _heat(sample.entropy_hw / most))
        maps_of.append(_heat(sample.uncertainty_hw / most))
        maps_of.append(_heat(((1 + sample.uncertainty_hw) ** 2 - 1) / max(most_weight - 1, 1e-6)))
        for column, tile in enumerate(maps_of):
            picture = Image.fromarray(np.ascontiguousarray(tile)).resize((tile_width, height), Image.Resampling.BOX)
            sheet.paste(picture, (_MARGIN + column * (tile_width + _GAP), y))
        write(draw, (_MARGIN, y + height + 2), sample.sample_id, 12, FAINT)
        y += height + _GAP + _LINE
    scales = [f"0 to {most:.2f} nats"] * (len(heads) - 3) + [f"1 to {most_weight:.2f}"]
    for column, text in enumerate(scales, 2):
        x = _MARGIN + column * (tile_width + _GAP)
        bar = _heat(np.tile(np.linspace(0, 1, 120, dtype=np.float32), (10, 1)))
        sheet.paste(Image.fromarray(bar), (x, y + 4))
        write(draw, (x + 128, y + 2), text, 12, FAINT)
    return sheet


def _heat(share_hw: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """0..1 as colours from dark to bright."""
    import cv2

    gray = np.rint(share_hw.clip(0, 1) * 255).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(gray, cv2.COLORMAP_INFERNO)[..., ::-1], np.uint8)

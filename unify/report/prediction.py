"""A picture of a prediction: image, truth, prediction, errors; below, which other classes light up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unify.report.draw import BLACK, FAINT, INK, PAPER, SET, Color, Pixels, colors_of, labels, swatch, text_width, write
from unify.spaces import VOID

if TYPE_CHECKING:
    from PIL.Image import Image

    from unify.spaces import LabelSpace

Ids = NDArray[np.uint8]

PANEL_WIDTH = 440
WRONG: Color = (208, 32, 38)
RIGHT: Color = (255, 255, 255)
UNSCORED: Color = SET
_MARGIN, _GAP, _LINE = 28, 8, 21
_LEAST = 0.001  #: share of the pixels from which a class gets a line of its own in a legend
_SHADE = 0.24  #: how much of the image shines through where colours say what is wrong
_DIMMED = 0.45  #: brightness of the image below colours
#: Of probabilities, from 0 to 1: dark to light, and to someone who sees no colours as well.
_RAMP = np.array([(10, 10, 24), (74, 24, 96), (178, 46, 92), (242, 118, 58), (252, 236, 168)], np.float64)


@dataclass(frozen=True, slots=True)
class Lit:
    """Classes that light up besides the answer.

    activation, threshold: what lit means. space: the net's. best_hw: of those above the threshold the id of the
    strongest; 255 where there is none. shares: name -> share of the pixels, most first. on: name -> the answer that
    most of these pixels have. heats: name -> (H, W) float probabilities, of the first few.
    """

    activation: str
    threshold: float
    space: LabelSpace
    best_hw: Ids
    shares: dict[str, float]
    on: dict[str, str]
    heats: dict[str, NDArray[np.floating[Any]]]


@dataclass(frozen=True, slots=True)
class Prediction:
    """An image (H, W, 3) RGB, its labels and the answers, (H, W) ids of `space`. Truths of no class (void, sets of
    classes) are not scored."""

    source: str
    sample_id: str
    image_hwc: Pixels
    truth_hw: Ids
    answer_hw: Ids
    space: LabelSpace
    lit: Lit | None = None

    @property
    def name(self) -> str:
        """Of a file: the source and the id, with no slash."""
        stem = self.sample_id if self.sample_id.startswith(self.source) else f"{self.source}-{self.sample_id}"
        return "".join(c if c.isalnum() or c in "-_." else "-" for c in stem)


# --- Panels ---------------------------------------------------------------------------------------------------


def gray(image_hwc: Pixels) -> NDArray[np.float64]:
    """(H, W, 1) in 0..1."""
    found: NDArray[np.float64] = image_hwc @ np.array([0.299, 0.587, 0.114]) / 255
    return found[:, :, None]


def errors_rgb(prediction: Prediction) -> Pixels:
    """(H, W, 3): `RIGHT`, `WRONG`, with a shade of the image, and `UNSCORED`, flat."""
    scored = prediction.truth_hw < len(prediction.space)
    wrong = scored & (prediction.truth_hw != prediction.answer_hw)
    flat_hwc = np.where(wrong[:, :, None], np.array(WRONG), np.array(RIGHT))
    shaded_hwc = flat_hwc * (1 - _SHADE * (1 - gray(prediction.image_hwc)))
    return np.where(scored[:, :, None], shaded_hwc, np.array(UNSCORED)).round().astype(np.uint8)


def lit_rgb(image_hwc: Pixels, lit: Lit) -> Pixels:
    """(H, W, 3): the strongest lit class in its colour, over the dimmed gray image."""
    ground_hwc = gray(image_hwc) * 255 * _DIMMED
    colors_hwc = lit.space.palette()[lit.best_hw] * (0.82 + 0.18 * gray(image_hwc))
    is_lit = (lit.best_hw != VOID)[:, :, None]
    return np.where(is_lit, colors_hwc, ground_hwc).round().astype(np.uint8)


def heat_rgb(image_hwc: Pixels, probability_hw: NDArray[np.floating[Any]]) -> Pixels:
    """(H, W, 3): a probability from dark to light, with a shade of the image."""
    at_hw = np.clip(probability_hw, 0, 1) * (len(_RAMP) - 1)
    low = np.minimum(at_hw.astype(np.intp), len(_RAMP) - 2)
    part = (at_hw - low)[:, :, None]
    colors_hwc = _RAMP[low] * (1 - part) + _RAMP[low + 1] * part
    mixed_hwc = colors_hwc * (0.78 + 0.22 * gray(image_hwc)) + gray(image_hwc) * 48 * (1 - at_hw / 4)[:, :, None]
    return np.asarray(np.clip(mixed_hwc, 0, 255).round(), np.uint8)


# --- The picture ----------------------------------------------------------------------------------------------


def draw_prediction(prediction: Prediction, panel_width: int = PANEL_WIDTH) -> Image:
    """The strip, what lights up if that is known, and what the colours mean."""
    from PIL import Image as PILImage
    from PIL import ImageDraw

    image = prediction.image_hwc
    panel = (panel_width, max(1, round(panel_width * image.shape[0] / image.shape[1])))
    space, lit = prediction.space, prediction.lit
    shown: list[list[tuple[str, Image]]] = [
        [
            ("image", _photograph(image, panel)),
            (f"truth in {space.name}", labels(prediction.truth_hw, colors_of(space), panel)),
            ("prediction", labels(prediction.answer_hw, colors_of(space), panel)),
            ("errors", _painted(errors_rgb(prediction), panel)),
        ]
    ]
    pitch = panel_width + _GAP
    legends = [(_own_entries(prediction), pitch // 2)]  # two columns a panel
    if lit is not None:
        lights = f"other classes, {lit.activation} above {lit.threshold:g}"
        more = [(lights, _painted(lit_rgb(image, lit), panel))]
        more += [(name, _painted(heat_rgb(image, heat), panel)) for name, heat in lit.heats.items()]
        shown.append(more)
        legends.append((_lit_entries(lit), pitch))

    width = 2 * _MARGIN + 4 * panel_width + 3 * _GAP
    per_row = [max(1, (4 * pitch) // entry_width) for _, entry_width in legends]
    heights = [
        panel[1] + _LINE + 10 + _LINE * -(-len(entries) // columns) + 14
        for (entries, _), columns in zip(legends, per_row, strict=True)
    ]
    top = _MARGIN + 34
    picture = PILImage.new("RGB", (width, top + sum(heights) + _MARGIN - 10), PAPER)
    draw = ImageDraw.Draw(picture)
    write(draw, (_MARGIN, _MARGIN - 8), prediction.sample_id, 20)
    write(draw, (width - _MARGIN, _MARGIN - 4), _facts(prediction), 15, FAINT, anchor="ra")
    for row, (entries, entry_width), columns, height in zip(shown, legends, per_row, heights, strict=True):
        for column, (head, tile) in enumerate(row):
            x = _MARGIN + column * pitch
            write(draw, (x, top), _fitted(head, 14, panel_width), 14, FAINT)
            picture.paste(tile, (x, top + _LINE))
        _legend(picture, entries, top + _LINE + panel[1] + 10, columns, entry_width)
        top += height
    return picture


def _photograph(image_hwc: Pixels, size: tuple[int, int]) -> Image:
    from PIL import Image as PILImage

    return PILImage.fromarray(image_hwc).resize(size, PILImage.Resampling.LANCZOS)


def _painted(rgb_hwc: Pixels, size: tuple[int, int]) -> Image:
    """Smaller by averages, larger in squares: ids have nothing between them."""
    from PIL import Image as PILImage

    how = PILImage.Resampling.BOX if size[0] < rgb_hwc.shape[1] else PILImage.Resampling.NEAREST
    return PILImage.fromarray(rgb_hwc).resize(size, how)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of a legend; without a colour it is faint, and no class."""

    name: str
    color: Color | None
    note: str = ""
    is_void: bool = False


def _scores(prediction: Prediction) -> NDArray[np.int64]:
    """(K, K) int64 pixels by truth and answer."""
    size = len(prediction.space)
    scored = prediction.truth_hw < size
    pairs = prediction.truth_hw[scored].astype(np.int64) * size + prediction.answer_hw[scored]
    return np.bincount(pairs, minlength=size * size).reshape(size, size)


def _facts(prediction: Prediction) -> str:
    """Of this image alone: a class's IoU and their mean."""
    counts = _scores(prediction)
    union = counts.sum(0) + counts.sum(1) - counts.diagonal()
    there = union > 0
    if not there.any():
        return "nothing in it is scored"
    miou = float((counts.diagonal()[there] / union[there]).mean())
    return f"mIoU {100 * miou:.1f} %, pixel accuracy {100 * counts.trace() / counts.sum():.1f} %"


def _own_entries(prediction: Prediction) -> list[_Entry]:
    """Classes in the truth or the answers with their IoU in this image, the largest first; then what errors mean."""
    counts = _scores(prediction)
    union = counts.sum(0) + counts.sum(1) - counts.diagonal()
    classes = prediction.space.classes
    found = [_Entry("IoU in this image:", None)] if counts.any() else []
    few = 0
    for i in np.lexsort((-union, -counts.sum(1))).tolist():
        if counts[i].any() or union[i] >= _LEAST * prediction.truth_hw.size:
            found.append(_Entry(classes[i].name, classes[i].color, f"{100 * counts[i, i] / union[i]:.0f} %"))
        elif union[i]:
            few += 1
    if few:
        found.append(_Entry(f"{few} more predicted", None))
    codes = np.unique(prediction.truth_hw)
    if (codes == VOID).any():
        found.append(_Entry("void", BLACK, is_void=True))
    if ((codes >= len(classes)) & (codes < VOID)).any():
        found.append(_Entry("one of several", UNSCORED))
    found += [_Entry("right", RIGHT), _Entry("wrong", WRONG)]
    if (codes >= len(classes)).any():
        found.append(_Entry("not scored", UNSCORED))
    return found


def _lit_entries(lit: Lit) -> list[_Entry]:
    """The lit classes, with the share of the pixels and the answer that most of them have."""
    if not lit.shares:
        return [_Entry("no other class lights up", None)]
    color = {c.name: c.color for c in lit.space.classes}
    shown = {name: share for name, share in lit.shares.items() if share >= _LEAST}
    found = [_Entry(n, color[n], f"{100 * share:.1f} %, most on {lit.on[n]}") for n, share in shown.items()]
    if few := len(lit.shares) - len(shown):
        found.append(_Entry(f"{few} {'more ' if shown else ''}below {100 * _LEAST:g} %", None))
    return found


def _legend(picture: Image, entries: Sequence[_Entry], top: int, columns: int, entry_width: int) -> None:
    from PIL import ImageDraw

    draw = ImageDraw.Draw(picture)
    for k, entry in enumerate(entries):
        x, y = _MARGIN + k % columns * entry_width, top + k // columns * _LINE
        if entry.color is None:
            write(draw, (x, y + 1), entry.name, 13, FAINT)
            continue
        swatch(picture, (x, y + 2), entry.color, is_void=entry.is_void)
        room = entry_width - 42
        name = _fitted(entry.name, 13, room - (text_width(entry.note, 12) + 8 if entry.note else 0))
        write(draw, (x + 30, y + 1), name, 13, INK)
        if entry.note:
            write(draw, (x + 38 + text_width(name, 13), y + 2), entry.note, 12, FAINT)


def _fitted(text: str, size_px: int, width: int) -> str:
    """As much of it as has room."""
    if text_width(text, size_px) <= width:
        return text
    while text and text_width(text + "…", size_px) > width:
        text = text[:-1]
    return text.rstrip() + "…"

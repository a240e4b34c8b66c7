"""What a run shows of itself: log.csv, metrics.json, curves.png."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.encoders import needed
from unify import storage
from unify.errors import error
from unify.report.draw import FAINT, INK, PAPER, encode, write

if TYPE_CHECKING:
    from PIL.Image import Image

LOG, METRICS, CURVES, EVENTS = "log.csv", "metrics.json", "curves.png", "tensorboard"
_WIDTH, _HEIGHT, _MARGIN = 900, 340, 64
_LINE = (38, 98, 180)
_PALE = (198, 212, 232)
_SMOOTH = 50  #: the smoothed curve averages so many parts of a run


def log_csv(losses: Sequence[float], rates: Sequence[float], scores: Sequence[dict[str, Any]]) -> str:
    """A line a step: step, lr, loss, and miou where it was scored. Numbers are written in full."""
    miou = {score["step"]: score["miou"] for score in scores}
    lines = ["step,lr,loss,miou"]
    for step, (loss, rate) in enumerate(zip(losses, rates, strict=True), 1):
        value = miou.get(step)
        lines.append(f"{step},{rate!r},{loss!r},{'' if value is None else repr(value)}")
    return "\n".join(lines) + "\n"


def write_progress(
    out: Path, losses: Sequence[float], rates: Sequence[float], scores: Sequence[dict[str, Any]], *, title: str
) -> None:
    """log.csv and curves.png."""
    storage.write_file(out / LOG, log_csv(losses, rates, scores).encode(), durable=False)
    storage.write_file(out / CURVES, encode(curves(losses, scores, title), ".png"), durable=False)


def write_metrics(out: Path, metrics: dict[str, Any]) -> None:
    storage.write_file(out / METRICS, (json.dumps(metrics, indent=1, ensure_ascii=False) + "\n").encode())


def read_metrics(out: Path) -> dict[str, Any] | None:
    """What `write_metrics` wrote; None if there is nothing. Raises `UnifyError` (bad-artifact) for anything else."""
    file = out / METRICS
    if not file.exists():
        return None
    try:
        found: dict[str, Any] = json.loads(file.read_bytes())
        found["step"]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise error("bad-artifact", file, f"cannot be read ({e})", "remove it, and run the same command again") from e
    return found


def events(out: Path, step: int) -> Any:
    """A writer of TensorBoard's files that takes back what was written after `step`.

    Raises `UnifyError` (usage) where tensorboard is not installed.
    """
    return needed("torch.utils.tensorboard").SummaryWriter(str(out / EVENTS), purge_step=step + 1)


def add_score(writer: Any, step: int, scores: Sequence[dict[str, Any]]) -> None:
    """The mIoU of step `step`, if it was scored."""
    if scores and scores[-1]["step"] == step and scores[-1]["miou"] is not None:
        writer.add_scalar("mIoU", scores[-1]["miou"], step)


# --- The picture --------------------------------------------------------------------------------------------


def curves(losses: Sequence[float], scores: Sequence[dict[str, Any]], title: str) -> Image:
    """Loss of every step (pale) and its running mean, and mIoU, side by side. `scores`: {"step", "miou", "images"}."""
    from PIL import Image as Pictures
    from PIL import ImageDraw

    picture = Pictures.new("RGB", (_WIDTH, _HEIGHT), PAPER)
    draw = ImageDraw.Draw(picture)
    write(draw, (_MARGIN, 14), title, 16)
    half = _WIDTH // 2
    most = max(len(losses), 1)
    each = [(step, loss) for step, loss in enumerate(losses, 1)]
    _panel(draw, 0, "loss per labelled pixel", most, [(each, _PALE, False), (running_mean(losses), _LINE, False)])
    scored = [score for score in scores if score["miou"] is not None]
    most_images = max((score["images"] for score in scored), default=0)
    some, every = (
        [(score["step"], score["miou"]) for score in scored if (score["images"] == most_images) == of_all]
        for of_all in (False, True)
    )
    name = f"mIoU on {most_images} held-out images" + (" (pale: on a part of them)" if some else "")
    _panel(draw, half, name, most, [(some, _PALE, True), (every, _LINE, True)])
    return picture


def running_mean(losses: Sequence[float]) -> list[tuple[float, float]]:
    """(step, mean of a fiftieth of the run up to it)."""
    width = max(1, len(losses) // _SMOOTH)
    sums = [0.0]
    for loss in losses:
        sums.append(sums[-1] + loss)
    return [(i, (sums[i] - sums[i - width]) / width) for i in range(width, len(sums))]


def _panel(
    draw: Any,
    left: int,
    name: str,
    steps: int,
    lines: Sequence[tuple[Sequence[tuple[float, float]], tuple[int, int, int], bool]],
) -> None:
    """Lines of (step, value ≥ 0) points from `left` on, with dots or without. The axis reaches from 0 to the largest
    value; of many values to where 97 % lie below, and lines leave the panel where they are higher.
    """
    x0, x1, y0, y1 = left + _MARGIN, left + _WIDTH // 2 - 20, 70, _HEIGHT - 44
    write(draw, (x0, 44), name, 13, FAINT)
    values = sorted(value for points, _, _ in lines for _, value in points) or [1.0]
    # A few steep first losses would leave no height for the rest.
    top = _round_up(values[-1] if len(values) < 2 * _SMOOTH else 1.2 * values[len(values) * 97 // 100])
    for share in (0.0, 0.5, 1.0):
        y = y1 - share * (y1 - y0)
        draw.line((x0, y, x1, y), fill=(226, 226, 224))
        write(draw, (x0 - 8, y), f"{share * top:g}", 12, FAINT, "rm")
    write(draw, (x0, y1 + 8), "0", 12, FAINT, "la")
    write(draw, (x1, y1 + 8), f"step {steps:,}", 12, FAINT, "ra")
    for points, colour, dots in lines:
        for part in parts_below(points, top):
            place = [(x0 + step / steps * (x1 - x0), y1 - value / top * (y1 - y0)) for step, value in part]
            if len(place) > 1:
                draw.line(place, fill=colour, width=2 if colour == _LINE else 1)
            if dots or len(points) == 1:
                for x, y in place:
                    draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)
    if marked := [points[-1] for points, _, dots in lines if dots and points]:
        write(draw, (x1, 44), f"{marked[-1][1]:.3f}", 13, INK, "ra")


def parts_below(points: Sequence[tuple[float, float]], top: float) -> list[list[tuple[float, float]]]:
    """The parts of a line through (x, y) points that are not above `top`; they end where it crosses that."""
    parts: list[list[tuple[float, float]]] = []
    for i, (x, y) in enumerate(points):
        x_before, y_before = points[i - 1] if i else (x, y)
        crosses = (y > top) != (y_before > top)
        crossing = [(x_before + (top - y_before) / (y - y_before) * (x - x_before), top)] if crosses else []
        if y <= top and (crosses or not i):
            parts.append([*crossing, (x, y)])
        elif y <= top:
            parts[-1].append((x, y))
        elif crosses:
            parts[-1] += crossing
    return parts


def _round_up(value: float) -> float:
    """The next of 1, 2, 5 times a power of ten; at least 1e-6."""
    value = max(value, 1e-6)
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))

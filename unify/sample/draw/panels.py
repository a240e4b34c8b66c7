"""Flat parts of vehicles: panes, stripes, lamps and letters on a flank or on an end."""

from __future__ import annotations

from collections.abc import Iterable

from unify.sample.camera import RGB
from unify.sample.canvas import Canvas
from unify.sample.draw.kit import Frame, mix, sees
from unify.sample.draw.lettering import letter_boxes

Rect = tuple[float, float, float, float]  # along or across 0, 1; up 0, 1

TYRE: RGB = (30, 30, 32)
LAMP_RED: RGB = (176, 28, 30)
LAMP_WHITE: RGB = (238, 240, 236)


def light_on(colour: RGB, canvas: Canvas) -> RGB:
    """`colour` under the open sky, without the sun."""
    a = canvas.light.ambient
    return (min(255.0, colour[0] * a[0] * 1.2), min(255.0, colour[1] * a[1] * 1.2), min(255.0, colour[2] * a[2] * 1.2))


def glass_of(canvas: Canvas) -> tuple[RGB, RGB]:
    """The dark and the reflecting half of a window pane."""
    dark: RGB = (24, 30, 36)
    if canvas.light.night:
        return (226, 206, 160), (240, 222, 180)
    return mix(dark, canvas.light.sky_low, 0.2), mix(dark, canvas.light.sky_low, 0.42)


def on_side(
    canvas: Canvas,
    frame: Frame,
    half: float,
    rects: Iterable[Rect],
    colour: RGB,
    out: float = 0.01,
    sides: tuple[float, ...] = (-1.0, 1.0),
) -> None:
    """Rectangles (along0, along1, up0, up1) on whichever flank is seen; `colour` is lit already."""
    boxes = list(rects)
    for side in sides:
        if boxes and sees(canvas, frame, (0, side, 0), (0, side * half, 1)):
            b = side * (half + out)
            corners = [p for a0, a1, c0, c1 in boxes for p in ((a0, b, c0), (a1, b, c0), (a1, b, c1), (a0, b, c1))]
            canvas.faces(frame.at(corners).reshape(-1, 4, 3), colour, max(1.0, frame.z))


def on_end(canvas: Canvas, frame: Frame, end: float, rects: Iterable[Rect], colour: RGB) -> None:
    """Rectangles (across0, across1, up0, up1) on the front (`end` > 0) or rear face, where it is seen."""
    boxes = list(rects)
    if boxes and sees(canvas, frame, (1.0 if end > 0 else -1.0, 0, 0), (end, 0, 1)):
        corners = [p for b0, b1, c0, c1 in boxes for p in ((end, b0, c0), (end, b1, c0), (end, b1, c1), (end, b0, c1))]
        canvas.faces(frame.at(corners).reshape(-1, 4, 3), colour, max(1.0, frame.z))


def letters(
    canvas: Canvas, frame: Frame, text: str, half: float, centre: float, low: float, tall: float, colour: RGB
) -> None:
    """Words along a flank, to be read from whichever side one looks."""
    wide = len(text) * tall * 0.62
    for side in (-1.0, 1.0):
        rects = letter_boxes(text, -wide / 2, low, tall, wide)
        turned = [(centre + side * a0, centre + side * a1, c0, c1) for a0, a1, c0, c1 in rects]
        on_side(canvas, frame, half, turned, colour, 0.02, (side,))

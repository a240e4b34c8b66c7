"""Buses, trams and trains."""

from __future__ import annotations

import itertools

from unify.sample.canvas import Canvas
from unify.sample.dice import Dice
from unify.sample.draw.ground import ground_contact
from unify.sample.draw.kit import Frame, box, mix, prism, times, tube
from unify.sample.draw.lettering import letter_boxes
from unify.sample.draw.panels import LAMP_RED, LAMP_WHITE, glass_of, light_on, on_end, on_side
from unify.sample.draw.vehicles import wheels
from unify.sample.scene import Thing


def paint_bus(canvas: Canvas, thing: Thing) -> None:
    """A city bus or a coach; by night its windows are lit."""
    if thing.z < 4:
        return
    dice = Dice(thing.seed)
    width, height, length = thing.size
    half = width / 2
    frame = Frame.of(thing)
    sunlit = canvas.sunlit(thing.x, thing.z)
    ground_contact(canvas, thing)
    glass, upper = glass_of(canvas)
    with canvas.solid("bus", thing.seed):
        on_end(
            canvas, frame, -length / 2 + 0.5, [(-half, -half + 0.35, 0, 0.5), (half - 0.35, half, 0, 0.5)], (24, 24, 26)
        )
        on_end(
            canvas, frame, length / 2 - 0.5, [(-half, -half + 0.35, 0, 0.5), (half - 0.35, half, 0, 0.5)], (24, 24, 26)
        )
        profile = (
            (-length / 2, 0.35),
            (-length / 2 - 0.02, height * 0.9),
            (-length / 2 + 0.3, height),
            (length / 2 - 0.5, height),
            (length / 2 - 0.1, height * 0.92),
            (length / 2, height * 0.4),
            (length / 2 - 0.04, 0.35),
        )
        prism(canvas, frame, profile, (-half, half), thing.colour, sunlit)
        wheels(canvas, frame, thing, (length / 2 - 2.4, -length / 2 + 2.8), 0.5)
    normal = frame.normal(0, 1, 0)
    trim = canvas.tone(mix(thing.colour, (244, 240, 232), 0.75), 0.0, normal, sunlit)
    on_side(canvas, frame, half, [(-length / 2 + 0.1, length / 2 - 0.2, 0.95, 1.15)], trim)
    on_side(
        canvas,
        frame,
        half,
        [(-length / 2 + 0.25, length / 2 - 0.15, height * 0.42, height * 0.84)],
        light_on((28, 30, 34), canvas),
    )
    count = int(length / 1.5)
    step = (length - 0.5) / count
    panes = [
        (-length / 2 + 0.3 + i * step, -length / 2 + 0.2 + (i + 1) * step, height * 0.44, height * 0.82)
        for i in range(count)
    ]
    on_side(canvas, frame, half, panes, light_on(glass, canvas), 0.02)
    on_side(
        canvas,
        frame,
        half,
        [(a0, a1, c0 + (c1 - c0) * 0.6, c1) for a0, a1, c0, c1 in panes],
        light_on(upper, canvas),
        0.025,
    )
    door = [(length / 2 - 1.5, length / 2 - 0.4, 0.4, height * 0.82), (-0.7, 0.7, 0.4, height * 0.82)]
    kerb = (-1.0,) if "left hand" in thing.parts else (1.0,)
    on_side(canvas, frame, half, door, light_on(times(glass, 0.8), canvas), 0.03, kerb)
    on_side(canvas, frame, half, [(a0 + 0.5, a0 + 0.58, c0, c1) for a0, _, c0, c1 in door], trim, 0.035, kerb)
    front, rear = length / 2 + 0.02, -length / 2 - 0.03
    wide = half * 0.9
    on_end(canvas, frame, front, [(-wide, wide, height * 0.4, height * 0.8)], light_on(glass, canvas))
    on_end(canvas, frame, front + 0.01, [(-wide, wide * 0.1, height * 0.6, height * 0.8)], light_on(upper, canvas))
    on_end(canvas, frame, front + 0.01, [(-wide * 0.8, wide * 0.8, height * 0.83, height * 0.94)], (20, 20, 22))
    _destination(canvas, frame, front + 0.02, dice, height, wide)
    on_end(
        canvas,
        frame,
        front + 0.01,
        [(-wide, -wide * 0.7, 0.6, 0.85), (wide * 0.7, wide, 0.6, 0.85)],
        light_on(LAMP_WHITE, canvas),
    )
    on_end(canvas, frame, rear, [(-wide * 0.8, wide * 0.8, height * 0.55, height * 0.85)], light_on(glass, canvas))
    on_end(
        canvas,
        frame,
        rear,
        [(-wide * 0.7, wide * 0.7, 0.6, 1.2)],
        canvas.tone(times(thing.colour, 0.6), 0.0, frame.normal(-1, 0, 0), sunlit),
    )
    on_end(
        canvas,
        frame,
        rear - 0.01,
        [(-half, -half * 0.84, 0.8, 1.5), (half * 0.84, half, 0.8, 1.5)],
        light_on(LAMP_RED, canvas),
    )


def _destination(canvas: Canvas, frame: Frame, end: float, dice: Dice, height: float, wide: float) -> None:
    if canvas.size_px(0.25, frame.z) < 3:
        return
    text = f"{dice.whole(2, 98)} " + dice.pick(("ZOO", "CITY", "WEST", "PORT", "HILL"))
    rects = letter_boxes(text, -wide * 0.7, height * 0.845, height * 0.08, wide * 1.4)
    facing = 1.0 if frame.hz < 0 or frame.hx else -1.0  # mirrored so that it reads from ahead
    on_end(canvas, frame, end, [(-facing * b0, -facing * b1, c0, c1) for b0, b1, c0, c1 in rects], (250, 176, 60))


def paint_tram(canvas: Canvas, thing: Thing) -> None:
    """A tram (`variant` "tram") or a train: cars coupled along the heading, each with windows and doors."""
    dice = Dice(thing.seed)
    width, height, length = thing.size
    half = width / 2
    concept = "tram" if thing.variant == "tram" else "train"
    cars = max(1, round(length / (9.0 if concept == "tram" else 18.0)))
    step = length / cars
    frame = Frame.of(thing)
    glass, upper = glass_of(canvas)
    sunlit = canvas.sunlit(thing.x, max(3.0, thing.z))
    order = sorted(range(cars), key=lambda i: -(frame.z + (-length / 2 + (i + 0.5) * step) * frame.hz))
    pale = mix(thing.colour, (240, 238, 232), 0.85)
    with canvas.solid(concept, thing.seed):
        for i in order:
            a0, a1 = -length / 2 + i * step + 0.15, -length / 2 + (i + 1) * step - 0.15
            if i == 0:
                nose: list[tuple[float, float]] = [
                    (a0, 0.4),
                    (a0 - 0.1, height * 0.45),
                    (a0 + 0.5, height),
                    (a1, height),
                    (a1, 0.4),
                ]
            elif i == cars - 1:
                nose = [(a0, 0.4), (a0, height), (a1 - 0.5, height), (a1 + 0.1, height * 0.45), (a1, 0.4)]
            else:
                nose = [(a0, 0.4), (a0, height), (a1, height), (a1, 0.4)]
            box(canvas, frame, (a0 + 0.8, a1 - 0.8), (-half * 0.85, half * 0.85), (0.02, 0.45), (30, 30, 34), sunlit)
            prism(canvas, frame, nose, (-half, half), pale, sunlit)
            on_side(
                canvas,
                frame,
                half,
                [(a0, a1, 0.4, height * 0.38)],
                canvas.tone(thing.colour, 0.0, frame.normal(0, 1, 0), sunlit),
            )
            on_side(
                canvas,
                frame,
                half,
                [(a0, a1, height * 0.88, height * 0.96)],
                canvas.tone(thing.colour, 0.0, frame.normal(0, 1, 0), sunlit),
            )
            count = max(3, int((a1 - a0) / 1.7))
            bay = (a1 - a0 - 0.4) / count
            panes = [
                (a0 + 0.3 + k * bay, a0 + 0.1 + (k + 1) * bay, height * 0.42, height * 0.8)
                for k in range(count)
                if k % 4 != 2
            ]
            doors = [(a0 + 0.3 + k * bay, a0 + 0.1 + (k + 1) * bay, 0.5, height * 0.82) for k in range(2, count, 4)]
            on_side(canvas, frame, half, panes, light_on(glass, canvas), 0.02)
            on_side(
                canvas,
                frame,
                half,
                [(p, q, c + (d - c) * 0.6, d) for p, q, c, d in panes],
                light_on(upper, canvas),
                0.025,
            )
            on_side(canvas, frame, half, doors, light_on(times(glass, 0.8), canvas), 0.02)
            on_side(
                canvas,
                frame,
                half,
                [((p + q) / 2 - 0.03, (p + q) / 2 + 0.03, c, d) for p, q, c, d in doors],
                light_on(pale, canvas),
                0.03,
            )
            if i in (0, cars - 1):
                end = a0 - 0.12 if i == 0 else a1 + 0.12
                on_end(
                    canvas,
                    frame,
                    end,
                    [(-half * 0.9, half * 0.9, 0.45, height * 0.4)],
                    canvas.tone(thing.colour, 0.0, frame.normal(-1, 0, 0), sunlit),
                )
                on_end(
                    canvas,
                    frame,
                    end,
                    [(-half * 0.85, half * 0.85, height * 0.46, height * 0.78)],
                    light_on(glass, canvas),
                )
                lamp = LAMP_WHITE if i else LAMP_RED
                on_end(
                    canvas,
                    frame,
                    end * 1.001,
                    [(-half * 0.85, -half * 0.6, 0.75, 0.95), (half * 0.6, half * 0.85, 0.75, 0.95)],
                    light_on(lamp, canvas),
                )
                on_end(canvas, frame, end * 1.001, [(-0.5, 0.5, height * 0.82, height * 0.92)], (24, 24, 24))
        if concept == "tram":
            roof = frame.at([(dice.between(-1, 1), 0, height), (1.0, 0, height + 0.7), (0.2, 0, height + 1.3)])
            for p, q in itertools.pairwise(roof):
                tube(canvas, p.tolist(), q.tolist(), 0.06, 0.06, light_on((40, 40, 44), canvas))

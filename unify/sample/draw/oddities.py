"""Vehicles of their own kind: diggers and tractors, auto rickshaws, boats."""

from __future__ import annotations

from unify.sample.camera import RGB
from unify.sample.canvas import Canvas
from unify.sample.draw.ground import ground_contact
from unify.sample.draw.kit import Frame, box, prism, sees, times, tube
from unify.sample.draw.panels import LAMP_RED, LAMP_WHITE, TYRE, glass_of, light_on, on_end, on_side
from unify.sample.draw.vehicles import wheels
from unify.sample.scene import Thing


def paint_machine(canvas: Canvas, thing: Thing) -> None:
    """An excavator or a tractor: tracks or wheels, a cab, an arm."""
    if thing.z < 4:
        return
    width, height, length = thing.size
    half = width / 2
    frame = Frame.of(thing)
    sunlit = canvas.sunlit(thing.x, thing.z)
    ground_contact(canvas, thing)
    glass, upper = glass_of(canvas)
    tractor = thing.variant == "tractor"
    dark: RGB = (38, 38, 40)
    with canvas.solid("work vehicle", thing.seed):
        if tractor:
            box(canvas, frame, (-length * 0.1, length / 2), (-0.4, 0.4), (0.7, 1.5), thing.colour, sunlit)
            wheels(canvas, frame, thing, (-length * 0.25,), 0.8, (220, 190, 60))
            wheels(canvas, frame, thing, (length * 0.33,), 0.45, (220, 190, 60))
            for b0, b1 in ((-half, -half + 0.5), (half - 0.5, half)):
                on_end(canvas, frame, -length * 0.25 - 0.75, [(b0, b1, 0.1, 1.5)], TYRE)
                on_end(canvas, frame, -length * 0.25 + 0.75, [(b0, b1, 0.1, 1.5)], TYRE)
        else:
            for b in (-half + 0.25, half - 0.25):
                box(canvas, frame, (-length * 0.35, length * 0.35), (b - 0.25, b + 0.25), (0.0, 0.8), dark, sunlit)
            box(
                canvas,
                frame,
                (-length * 0.4, length * 0.3),
                (-half * 0.95, half * 0.95),
                (0.9, 1.7),
                thing.colour,
                sunlit,
            )
        back = -length * 0.4 if tractor else -length * 0.1
        box(
            canvas,
            frame,
            (back, back + 1.5),
            (-half * 0.6, half * 0.6),
            (1.4, height * 0.9),
            times(thing.colour, 0.9),
            sunlit,
        )
        if tractor:
            if sees(canvas, frame, (1, 0, 0), (length / 2, 0, 1)):
                box(canvas, frame, (length * 0.1, length / 2), (-0.4, 0.4), (0.7, 1.5), thing.colour, sunlit)
                for b0 in (-half * 0.8, half * 0.8 - 0.3):
                    on_end(canvas, frame, length * 0.33 + 0.4, [(b0, b0 + 0.3, 0.05, 0.9)], TYRE)
            on_end(canvas, frame, length / 2 + 0.01, [(-0.3, 0.3, 0.8, 1.4)], light_on(dark, canvas))
        on_side(canvas, frame, half * 0.6, [(back + 0.15, back + 1.35, 1.7, height * 0.84)], light_on(glass, canvas))
        for end in (back - 0.01, back + 1.51):
            on_end(canvas, frame, end, [(-half * 0.5, half * 0.5, 1.7, height * 0.84)], light_on(upper, canvas))
        if not tractor:
            arm = (
                (length * 0.2, 1.5),
                (length * 0.45, height * 1.3),
                (length * 0.55, height * 1.3),
                (length * 0.3, 1.5),
            )
            prism(canvas, frame, arm, (-0.2, 0.2), thing.colour, sunlit)
            boom = (
                (length * 0.47, height * 1.3),
                (length * 0.55, height * 1.25),
                (length * 0.75, 0.9),
                (length * 0.68, 0.9),
            )
            prism(canvas, frame, boom, (-0.16, 0.16), thing.colour, sunlit)
            bucket = ((length * 0.62, 0.2), (length * 0.66, 1.0), (length * 0.78, 0.9), (length * 0.74, 0.15))
            prism(canvas, frame, bucket, (-0.5, 0.5), (80, 78, 76), sunlit)


def paint_rickshaw(canvas: Canvas, thing: Thing) -> None:
    """A three-wheeled auto: a green or yellow tub under a dark hood, open at the sides."""
    if thing.z < 3:
        return
    width, height, length = thing.size
    half = width / 2
    frame = Frame.of(thing)
    sunlit = canvas.sunlit(thing.x, thing.z)
    ground_contact(canvas, thing)
    glass, upper = glass_of(canvas)
    hood: RGB = (40, 42, 40) if thing.seed % 3 else (206, 176, 50)
    with canvas.solid("autorickshaw", thing.seed):
        on_end(canvas, frame, -length / 2 + 0.3, [(-half, -half + 0.16, 0, 0.4), (half - 0.16, half, 0, 0.4)], TYRE)
        on_end(canvas, frame, length / 2 - 0.1, [(-0.08, 0.08, 0, 0.4)], TYRE)
        tub = (
            (-length / 2, 0.25),
            (-length / 2, 0.95),
            (-length * 0.1, 0.8),
            (length * 0.12, 0.62),
            (length * 0.34, 0.95),
            (length * 0.48, 0.7),
            (length / 2, 0.3),
        )
        inner = (
            (-length * 0.42, 0.8),
            (-length * 0.42, height * 0.9),
            (length * 0.2, height * 0.92),
            (length * 0.36, 0.9),
        )
        prism(canvas, frame, inner, (-half * 0.8, half * 0.8), (34, 30, 30), sunlit * 0.3)
        prism(canvas, frame, tub, (-half, half), thing.colour, sunlit)
        roof = (
            (-length / 2, 0.95),
            (-length * 0.5, height * 0.92),
            (-length * 0.4, height),
            (length * 0.2, height),
            (length * 0.3, height * 0.93),
            (length * 0.2, height * 0.86),
            (-length * 0.3, height * 0.86),
            (-length * 0.34, 0.95),
        )
        prism(canvas, frame, roof, (-half * 0.98, half * 0.98), hood, sunlit)
        on_side(canvas, frame, half, [(length * 0.2, length * 0.24, 0.8, height * 0.9)], light_on(hood, canvas))
        wheels(canvas, frame, thing, (-length * 0.28,), 0.22)
        wheels(canvas, frame, thing, (length * 0.38,), 0.22)
    pane = [(length * 0.37, b, 0.95) for b in (-half * 0.85, half * 0.85)] + [
        (length * 0.29, b, height * 0.88) for b in (half * 0.8, -half * 0.8)
    ]
    if sees(canvas, frame, (0.95, 0, 0.2), pane[0]):
        canvas.face(frame.at(pane), light_on(glass, canvas))
        canvas.face(frame.at([pane[0], pane[2], pane[3]]), light_on(upper, canvas))
    on_end(canvas, frame, length * 0.49, [(-0.12, 0.12, 0.5, 0.7)], light_on(LAMP_WHITE, canvas))
    rear = -length / 2 - 0.01
    on_end(canvas, frame, rear, [(-half * 0.6, half * 0.6, 1.1, height * 0.8)], light_on(glass, canvas))
    on_end(
        canvas,
        frame,
        rear,
        [(-half * 0.95, -half * 0.75, 0.6, 0.8), (half * 0.75, half * 0.95, 0.6, 0.8)],
        light_on(LAMP_RED, canvas),
    )
    on_end(canvas, frame, rear, [(-0.3, 0.3, 0.35, 0.5)], light_on((230, 206, 90), canvas))


def paint_boat(canvas: Canvas, thing: Thing) -> None:
    """A small boat afloat: hull, cabin, perhaps a mast."""
    width, height, length = thing.size
    frame = Frame.of(thing)
    half = width / 2
    glass, _ = glass_of(canvas)
    with canvas.solid("boat", thing.seed):
        hull = (
            (-length / 2, 0.0),
            (-length / 2, height * 0.35),
            (length * 0.3, height * 0.38),
            (length / 2, height * 0.48),
            (length * 0.38, 0.0),
        )
        prism(canvas, frame, hull, (-half, half), thing.colour)
        cabin = (
            (-length * 0.3, height * 0.36),
            (-length * 0.28, height * 0.75),
            (length * 0.05, height * 0.75),
            (length * 0.15, height * 0.37),
        )
        prism(canvas, frame, cabin, (-half * 0.7, half * 0.7), (238, 236, 230))
        stripe = canvas.tone((50, 90, 150) if thing.seed % 2 else (170, 50, 44), 0.0, frame.normal(0, 1, 0))
        on_side(canvas, frame, half, [(-length / 2, length * 0.4, height * 0.28, height * 0.34)], stripe)
        if thing.seed % 2:
            mast = frame.at([(length * 0.1, 0, height * 0.5), (length * 0.1, 0, height * 1.8)])
            tube(canvas, mast[0].tolist(), mast[1].tolist(), 0.1, 0.06, light_on((200, 196, 188), canvas))
    on_side(
        canvas,
        frame,
        half * 0.7,
        [(-length * 0.22, length * 0.02, height * 0.5, height * 0.66)],
        light_on(glass, canvas),
    )

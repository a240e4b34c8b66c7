"""Trucks, and what is towed."""

from __future__ import annotations

from unify.sample.camera import RGB
from unify.sample.canvas import Canvas
from unify.sample.dice import Dice
from unify.sample.draw.ground import ground_contact
from unify.sample.draw.kit import Frame, box, circle, prism, sees, times
from unify.sample.draw.panels import LAMP_RED, LAMP_WHITE, glass_of, letters, light_on, on_end, on_side
from unify.sample.draw.vehicles import wheels
from unify.sample.scene import Thing


def paint_truck(canvas: Canvas, thing: Thing) -> None:
    """A lorry; `variant` is box, tanker, tipper or flat."""
    if thing.z < 4:
        return
    dice = Dice(thing.seed)
    width, height, length = thing.size
    half = width / 2
    frame = Frame.of(thing)
    sunlit = canvas.sunlit(thing.x, thing.z)
    ground_contact(canvas, thing)
    cab_rear = length / 2 - 2.0
    cargo: RGB = dice.pick(
        ((222, 220, 214), (196, 202, 206), (210, 186, 120), (90, 120, 150), (140, 60, 50), (232, 232, 230))
    )
    dark: RGB = (34, 34, 38)
    glass, upper = glass_of(canvas)
    with canvas.solid("truck", thing.seed):
        box(canvas, frame, (-length / 2, length / 2 - 0.3), (-half * 0.8, half * 0.8), (0.35, 0.95), dark, sunlit)
        parts = [("cargo", cab_rear - 0.2), ("cab", length / 2)]
        facing_back = sees(canvas, frame, (-1, 0, 0), (-length / 2, 0, 1))
        for part, _ in parts[::-1] if facing_back else parts:
            if part == "cab":
                tall = min(height, 2.9)
                profile = (
                    (cab_rear, 0.5),
                    (cab_rear, tall),
                    (length / 2 - 0.5, tall),
                    (length / 2 - 0.06, tall * 0.62),
                    (length / 2, 0.5),
                )
                prism(canvas, frame, profile, (-half * 0.96, half * 0.96), thing.colour, sunlit)
                pane = [(length / 2 - 0.1, b, tall * 0.64) for b in (-half * 0.86, half * 0.86)] + [
                    (length / 2 - 0.46, b, tall * 0.94) for b in (half * 0.8, -half * 0.8)
                ]
                if sees(canvas, frame, (0.9, 0, 0.4), pane[0]):
                    canvas.face(frame.at(pane), light_on(glass, canvas))
                    canvas.face(frame.at([pane[0], pane[2], pane[3]]), light_on(upper, canvas))
                on_side(
                    canvas,
                    frame,
                    half * 0.96,
                    [(cab_rear + 0.5, length / 2 - 0.55, tall * 0.62, tall * 0.92)],
                    light_on(glass, canvas),
                )
                on_end(canvas, frame, length / 2 + 0.01, [(-half * 0.7, half * 0.7, 1.0, 1.5)], light_on(dark, canvas))
                on_end(
                    canvas,
                    frame,
                    length / 2 + 0.02,
                    [(-half * 0.92, -half * 0.62, 0.7, 0.95), (half * 0.62, half * 0.92, 0.7, 0.95)],
                    light_on(LAMP_WHITE, canvas),
                )
            else:
                _cargo(canvas, frame, thing, cargo, cab_rear - 0.25, dice, sunlit)
        wheels(canvas, frame, thing, (length / 2 - 1.3, -length / 2 + 1.2, -length / 2 + 2.3), 0.48)
        for b0, b1 in ((-half, -half + 0.5), (half - 0.5, half)):
            on_end(canvas, frame, -length / 2 + 0.4, [(b0, b1, 0.0, 0.8)], (26, 26, 28))
    rear = -length / 2 - 0.01
    on_end(canvas, frame, rear, [(-half, half, 0.62, 0.82)], light_on((60, 60, 62), canvas))
    on_end(
        canvas,
        frame,
        rear - 0.01,
        [(-half, -half + 0.4, 0.65, 0.8), (half - 0.4, half, 0.65, 0.8)],
        light_on(LAMP_RED, canvas),
    )


def _cargo(canvas: Canvas, frame: Frame, thing: Thing, cargo: RGB, front: float, dice: Dice, sunlit: float) -> None:
    width, height, length = thing.size
    half = width / 2
    rear = -length / 2
    if thing.variant == "tanker":
        rings = [(b * half * 0.98, 1.0 + (c + 1) * (height - 1.0) / 2) for b, c in circle(16)]
        cylinder(canvas, frame, rings, (rear, front), cargo, sunlit)
    elif thing.variant == "tipper":
        box(canvas, frame, (rear, front), (-half, half), (0.95, height * 0.75), thing.colour, sunlit)
        ribs = [
            (rear + (front - rear) * i / 8, rear + (front - rear) * i / 8 + 0.12, 0.95, height * 0.75) for i in range(9)
        ]
        on_side(canvas, frame, half, ribs, canvas.tone(times(thing.colour, 0.7), 0.0, frame.normal(0, 1, 0), sunlit))
        heap = ((rear + 0.3, height * 0.75), ((rear + front) / 2, height * 0.95), (front - 0.3, height * 0.75))
        prism(canvas, frame, heap, (-half * 0.85, half * 0.85), (146, 122, 92), sunlit)
    elif thing.variant == "flat":
        box(canvas, frame, (rear, front), (-half, half), (0.95, 1.15), (90, 84, 78), sunlit)
        for i in range(3):
            a0 = rear + 0.3 + i * (front - rear) / 3.2
            tint: RGB = dice.pick(((156, 120, 84), (120, 128, 132), (170, 150, 110)))
            box(
                canvas,
                frame,
                (a0, a0 + (front - rear) / 3.8),
                (-half * 0.9, half * 0.9),
                (1.15, 1.15 + dice.between(0.8, 1.5)),
                tint,
                sunlit,
            )
    else:
        box(canvas, frame, (rear, front), (-half, half), (0.95, height), cargo, sunlit)
        band: RGB = dice.pick(((176, 50, 44), (46, 90, 150), (60, 120, 80), (220, 160, 60)))
        lit = canvas.tone(band, 0.0, frame.normal(0, 1, 0), sunlit)
        on_side(canvas, frame, half, [(rear + 0.2, front - 0.2, 1.2, 1.55)], lit)
        letters(
            canvas,
            frame,
            dice.pick(("CARGO", "FRESH", "MOVE", "LOGISTIC", "BREAD", "ICE")),
            half,
            (rear + front) / 2,
            height * 0.55,
            0.7,
            lit,
        )
        seam = canvas.tone(times(cargo, 0.7), 0.0, frame.normal(-1, 0, 0), sunlit)
        on_end(
            canvas,
            frame,
            rear - 0.01,
            [
                (-0.03, 0.03, 1.0, height - 0.1),
                (-half, half, height - 0.1, height),
                (-half, -half + 0.08, 1, height),
                (half - 0.08, half, 1, height),
            ],
            seam,
        )
        on_end(
            canvas,
            frame,
            rear - 0.02,
            [(-0.25, -0.2, 1.1, height - 0.2), (0.2, 0.25, 1.1, height - 0.2)],
            times(seam, 0.8),
        )


def cylinder(
    canvas: Canvas,
    frame: Frame,
    ring: list[tuple[float, float]],
    along: tuple[float, float],
    colour: RGB,
    sunlit: float,
) -> None:
    """A lying tank: `ring` is its (across, up) outline."""
    a0, a1 = along
    mid_c = sum(c for _, c in ring) / len(ring)
    radius = max(c for _, c in ring) - mid_c
    for (b0, c0), (b1, c1) in zip(ring, ring[1:] + ring[:1], strict=True):
        out = ((b0 + b1) / 2 / radius, ((c0 + c1) / 2 - mid_c) / radius)
        if sees(canvas, frame, (0, out[0], out[1]), (0, b0, c0)):
            canvas.face(
                frame.at([(a0, b0, c0), (a1, b0, c0), (a1, b1, c1), (a0, b1, c1)]),
                colour,
                frame.normal(0, out[0], out[1]),
                sunlit,
            )
    for a, sign in ((a0, -1.0), (a1, 1.0)):
        if sees(canvas, frame, (sign, 0, 0), (a, 0, mid_c)):
            canvas.face(frame.at([(a, b, c) for b, c in ring]), times(colour, 0.94), frame.normal(sign, 0, 0), sunlit)


def paint_trailer(canvas: Canvas, thing: Thing) -> None:
    """A caravan (`variant` "caravan") or a loaded trailer on one axle, with its drawbar ahead."""
    if thing.z < 3:
        return
    width, height, length = thing.size
    half = width / 2
    frame = Frame.of(thing)
    sunlit = canvas.sunlit(thing.x, thing.z)
    ground_contact(canvas, thing)
    caravan = thing.variant == "caravan"
    glass, upper = glass_of(canvas)
    with canvas.solid("caravan" if caravan else "trailer", thing.seed):
        box(canvas, frame, (length / 2, length / 2 + 1.0), (-0.08, 0.08), (0.4, 0.5), (60, 60, 64), sunlit)
        for b0, b1 in ((-half, -half + 0.25), (half - 0.25, half)):
            on_end(canvas, frame, 0.0, [(b0, b1, 0.0, 0.5)], (24, 24, 26))
        if caravan:
            profile = (
                (-length / 2 + 0.1, 0.35),
                (-length / 2, height * 0.5),
                (-length / 2 + 0.25, height),
                (length / 2 - 0.5, height),
                (length / 2, height * 0.55),
                (length / 2 - 0.15, 0.35),
            )
            prism(canvas, frame, profile, (-half, half), thing.colour, sunlit)
        else:
            box(canvas, frame, (-length / 2, length / 2), (-half, half), (0.45, height * 0.55), thing.colour, sunlit)
            heap = (
                (-length / 2 + 0.1, height * 0.55),
                (-length * 0.2, height),
                (length * 0.25, height * 0.9),
                (length / 2 - 0.1, height * 0.55),
            )
            prism(
                canvas,
                frame,
                heap,
                (-half * 0.9, half * 0.9),
                (92, 116, 62) if thing.seed % 2 else (150, 128, 96),
                sunlit,
            )
        wheels(canvas, frame, thing, (0.0,), 0.32)
    if caravan:
        on_side(
            canvas,
            frame,
            half,
            [
                (-length * 0.4, -length * 0.1, height * 0.5, height * 0.78),
                (length * 0.12, length * 0.38, height * 0.5, height * 0.78),
            ],
            light_on(glass, canvas),
        )
        on_side(
            canvas,
            frame,
            half,
            [(-length / 2 + 0.1, length / 2 - 0.1, height * 0.3, height * 0.36)],
            light_on((150, 60, 50), canvas),
            0.012,
        )
        on_end(
            canvas,
            frame,
            -length / 2 - 0.01,
            [(-half * 0.75, half * 0.75, height * 0.5, height * 0.8)],
            light_on(glass, canvas),
        )
        on_end(
            canvas,
            frame,
            -length / 2 - 0.02,
            [(-half * 0.75, half * 0.1, height * 0.65, height * 0.8)],
            light_on(upper, canvas),
        )
        on_end(
            canvas,
            frame,
            length / 2 + 0.01,
            [(-half * 0.8, half * 0.8, height * 0.56, height * 0.84)],
            light_on(upper, canvas),
        )
    lamps = [(-half * 0.95, -half * 0.75, 0.5, 0.7), (half * 0.75, half * 0.95, 0.5, 0.7)]
    on_end(canvas, frame, -length / 2 - 0.03, lamps, light_on(LAMP_RED, canvas))

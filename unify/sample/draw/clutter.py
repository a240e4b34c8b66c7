"""Street furniture and what lies about: benches, bins, boxes, hydrants, cones, stalls."""

from __future__ import annotations

import numpy as np

from unify.sample.camera import RGB
from unify.sample.canvas import Canvas
from unify.sample.dice import Dice
from unify.sample.draw.ground import ground_contact
from unify.sample.draw.kit import Frame, box, circle, column, disc, mix, prism, times, tube
from unify.sample.draw.panels import light_on, on_end
from unify.sample.draw.people import ball
from unify.sample.scene import Thing


def paint_bench(canvas: Canvas, thing: Thing) -> None:
    if thing.z < 2:
        return
    frame = Frame.of(thing)
    sunlit = canvas.sunlit(thing.x, thing.z)
    half = thing.size[0] / 2
    iron: RGB = (52, 54, 58)
    with canvas.solid("bench", thing.seed):
        for b in (-half + 0.15, half - 0.15):
            box(canvas, frame, (-0.2, 0.2), (b - 0.04, b + 0.04), (0.0, 0.43), iron, sunlit)
            box(canvas, frame, (-0.26, -0.2), (b - 0.04, b + 0.04), (0.4, 0.85), iron, sunlit)
        for i in range(4):
            box(canvas, frame, (-0.2 + 0.115 * i, -0.11 + 0.115 * i), (-half, half), (0.43, 0.47), thing.colour, sunlit)
        for i in range(3):
            box(canvas, frame, (-0.25, -0.22), (-half, half), (0.54 + 0.12 * i, 0.63 + 0.12 * i), thing.colour, sunlit)


def paint_hydrant(canvas: Canvas, thing: Thing) -> None:
    if thing.z < 2:
        return
    sunlit = canvas.sunlit(thing.x, thing.z)
    x, y, z = thing.x, thing.y, thing.z
    with canvas.solid("fire hydrant", thing.seed):
        column(canvas, x, z, y, y + 0.08, 0.36, thing.colour, sunlit)
        column(canvas, x, z, y + 0.06, y + 0.62, 0.24, thing.colour, sunlit)
        lit = canvas.tone(thing.colour, 0.0, (0, 0.3, -0.8), sunlit)
        ball(canvas, np.array([x, y + 0.64, z]), 0.15, lit, 14, 0.9)
        for side in (-1, 1):
            tube(canvas, (x, y + 0.48, z), (x + side * 0.22, y + 0.48, z), 0.13, 0.13, times(lit, 0.9))
        ball(canvas, np.array([x, y + 0.46, z - 0.13]), 0.075, times(lit, 0.8), 10)
        tube(canvas, (x, y + 0.74, z), (x, y + 0.84, z), 0.07, 0.05, lit)


def paint_cabinet(canvas: Canvas, thing: Thing) -> None:
    """A closed box on the pavement: `variant` junction box, mailbox, phone booth."""
    if thing.z < 2:
        return
    frame = Frame.of(thing)
    sunlit = canvas.sunlit(thing.x, thing.z)
    wide, tall, deep = thing.size
    half, a = wide / 2, deep / 2
    ground_contact(canvas, thing, 0.05)
    dark = canvas.tone(times(thing.colour, 0.62), 0.0, frame.normal(1, 0, 0), sunlit)
    with canvas.solid(thing.variant, thing.seed):
        if thing.variant == "phone booth":
            box(canvas, frame, (-a, a), (-half, half), (0.0, tall), thing.colour, sunlit)
            glass = mix((40, 48, 54), canvas.light.sky_low, 0.4)
            for end in (-a - 0.01, a + 0.01):
                panes = [
                    (
                        -half * 0.8 + i * half * 0.56,
                        -half * 0.8 + (i + 0.86) * half * 0.56,
                        0.35 + j * 0.31,
                        0.6 + j * 0.31,
                    )
                    for i in range(3)
                    for j in range(5)
                ]
                on_end(canvas, frame, end, panes, light_on(glass, canvas))
                on_end(
                    canvas,
                    frame,
                    end * 1.01,
                    [(-half * 0.85, half * 0.85, tall - 0.28, tall - 0.1)],
                    light_on((240, 236, 224), canvas),
                )
            box(
                canvas,
                frame,
                (-a * 1.06, a * 1.06),
                (-half * 1.06, half * 1.06),
                (tall - 0.06, tall + 0.08),
                times(thing.colour, 0.85),
                sunlit,
            )
        elif thing.variant == "mailbox":
            box(canvas, frame, (-a * 0.4, a * 0.4), (-half * 0.3, half * 0.3), (0.0, tall * 0.45), (70, 70, 74), sunlit)
            box(canvas, frame, (-a, a), (-half, half), (tall * 0.4, tall * 0.92), thing.colour, sunlit)
            lid = ((-a, tall * 0.9), (-a * 0.7, tall), (a * 0.7, tall), (a, tall * 0.9))
            prism(canvas, frame, lid, (-half, half), thing.colour, sunlit)
            for end in (-a - 0.01, a + 0.01):
                on_end(canvas, frame, end, [(-half * 0.7, half * 0.7, tall * 0.78, tall * 0.83)], dark)
                on_end(
                    canvas,
                    frame,
                    end,
                    [(-half * 0.5, half * 0.5, tall * 0.55, tall * 0.7)],
                    light_on((240, 238, 230), canvas),
                )
        else:
            box(canvas, frame, (-a, a), (-half, half), (0.0, tall), thing.colour, sunlit)
            box(
                canvas,
                frame,
                (-a * 1.05, a * 1.05),
                (-half * 1.05, half * 1.05),
                (tall, tall + 0.06),
                times(thing.colour, 0.85),
                sunlit,
            )
            for end in (-a - 0.01, a + 0.01):
                on_end(canvas, frame, end, [(-0.015, 0.015, 0.1, tall * 0.95)], dark)
                on_end(
                    canvas,
                    frame,
                    end,
                    [
                        (-half * 0.8 + i * 0.1, -half * 0.8 + i * 0.1 + 0.05, tall * 0.75, tall * 0.88)
                        for i in range(int(half * 1.6 / 0.1))
                    ],
                    dark,
                )


def paint_bin(canvas: Canvas, thing: Thing) -> None:
    """A litter bin ("round") or a wheeled bin ("wheeled")."""
    if thing.z < 2:
        return
    frame = Frame.of(thing)
    sunlit = canvas.sunlit(thing.x, thing.z)
    wide, tall, _ = thing.size
    ground_contact(canvas, thing, 0.05)
    with canvas.solid("trash can", thing.seed):
        if thing.variant == "round":
            column(canvas, thing.x, thing.z, thing.y, thing.y + tall, wide, thing.colour, sunlit)
            top = frame.at([(u * wide * 0.56, v * wide * 0.56, tall) for u, v in circle(14)])
            canvas.face(top, times(thing.colour, 0.6), (0, 1, 0), sunlit)
            column(
                canvas,
                thing.x,
                thing.z,
                thing.y + tall * 0.72,
                thing.y + tall * 0.8,
                wide * 1.06,
                (204, 204, 200),
                sunlit,
            )
        else:
            half = wide / 2
            body = ((-half * 0.8, 0.08), (-half, tall * 0.9), (half, tall * 0.9), (half * 0.8, 0.08))
            prism(canvas, frame, body, (-half, half), thing.colour, sunlit)
            lid: RGB = (206, 180, 50) if thing.seed % 3 == 0 else times(thing.colour, 0.8)
            prism(
                canvas,
                frame,
                ((-half * 1.1, tall * 0.9), (-half * 0.9, tall), (half, tall * 0.97), (half * 1.1, tall * 0.9)),
                (-half * 1.05, half * 1.05),
                lid,
                sunlit,
            )


def paint_meter(canvas: Canvas, thing: Thing) -> None:
    """A parking meter: a head on a thin post."""
    if thing.z < 1.8:
        return
    sunlit = canvas.sunlit(thing.x, thing.z)
    x, y, z = thing.x, thing.y, thing.z
    with canvas.solid("parking meter", thing.seed):
        column(canvas, x, z, y, y + 1.05, 0.07, (110, 112, 116), sunlit)
        lit = canvas.tone(thing.colour, 0.0, (0, 0.2, -0.9), sunlit)
        canvas.face(
            [(x - 0.13, y + 1.0, z), (x + 0.13, y + 1.0, z), (x + 0.15, y + 1.36, z), (x - 0.15, y + 1.36, z)], lit
        )
        ball(canvas, np.array([x, y + 1.36, z]), 0.15, lit, 14)
    canvas.face(
        [
            (x - 0.08, y + 1.28, z - 0.01),
            (x + 0.08, y + 1.28, z - 0.01),
            (x + 0.07, y + 1.42, z - 0.01),
            (x - 0.07, y + 1.42, z - 0.01),
        ],
        light_on((196, 210, 200), canvas),
    )


def paint_cone(canvas: Canvas, thing: Thing) -> None:
    if thing.z < 2:
        return
    sunlit = canvas.sunlit(thing.x, thing.z)
    x, y, z, tall = thing.x, thing.y, thing.z, thing.size[1]
    with canvas.solid("traffic cone", thing.seed):
        foot = [(x + u * 0.2, y + 0.02, z + v * 0.2) for u, v in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        canvas.face(foot, times(thing.colour, 0.7), (0, 1, 0), sunlit)
        for share0, share1, tint in (
            (0.03, 0.34, thing.colour),
            (0.34, 0.52, (238, 238, 232)),
            (0.52, 0.72, thing.colour),
            (0.72, 0.84, (238, 238, 232)),
            (0.84, 1.0, thing.colour),
        ):
            lit = canvas.tone(tint, 0.0, (0, 0.3, -0.8), sunlit)
            wide0, wide1 = 0.3 * (1 - share0) + 0.05, 0.3 * (1 - share1) + 0.05
            tube(canvas, (x, y + tall * share0, z), (x, y + tall * share1, z), wide0, wide1, lit)
            tube(
                canvas,
                (x - wide0 * 0.3, y + tall * share0, z),
                (x - wide1 * 0.3, y + tall * share1, z),
                wide0 * 0.3,
                wide1 * 0.3,
                times(lit, 0.8),
            )


def paint_fixed(canvas: Canvas, thing: Thing) -> None:
    """Things that stay and that no class names: a stall, a parasol over tables, a fountain."""
    if thing.z < 3:
        return
    dice = Dice(thing.seed)
    frame = Frame.of(thing)
    sunlit = canvas.sunlit(thing.x, thing.z)
    wide, tall, deep = thing.size
    x, y, z = thing.x, thing.y, thing.z
    if thing.variant == "stall":
        ground_contact(canvas, thing, 0.1)
    with canvas.solid("fixed clutter", thing.seed):
        if thing.variant == "parasol":
            disc(canvas, frame, (0, 0, 0.72), 0.5, canvas.tone((190, 180, 166), 0.0, (0, 1, 0), sunlit), upright="flat")
            column(canvas, x, z, y, y + tall, 0.06, (150, 146, 140), sunlit)
            for b in (-0.75, 0.75):
                box(canvas, frame, (-0.2, 0.2), (b - 0.2, b + 0.2), (0.4, 0.46), (84, 66, 50), sunlit)
                box(canvas, frame, (-0.05, 0.0), (b - 0.2, b + 0.2), (0.4, 0.9), (84, 66, 50), sunlit)
            for i, (u, v) in enumerate(circle(8)):
                p, q = circle(8)[(i + 1) % 8]
                tint = thing.colour if i % 2 else (238, 234, 224)
                canvas.face(
                    [
                        (x, y + tall, z),
                        (x + u * wide / 2, y + tall - 0.55, z + v * wide / 2),
                        (x + p * wide / 2, y + tall - 0.55, z + q * wide / 2),
                    ],
                    tint,
                    (u * 0.3, 0.8, v * 0.3),
                    sunlit,
                )
        elif thing.variant == "stall":
            box(canvas, frame, (-deep / 2, deep / 2), (-wide / 2, wide / 2), (0.0, 0.9), (130, 96, 66), sunlit)
            for i in range(5):
                tint = dice.pick(((206, 70, 50), (230, 170, 60), (110, 150, 60), (220, 206, 120)))
                b = -wide / 2 + (i + 0.5) * wide / 5
                box(
                    canvas,
                    frame,
                    (-deep * 0.4, deep * 0.4),
                    (b - wide * 0.08, b + wide * 0.08),
                    (0.9, 1.1),
                    tint,
                    sunlit,
                )
            for b in (-wide / 2, wide / 2):
                for a in (-deep / 2, deep / 2):
                    px, _, pz = frame.at([(a, b, 0)])[0]
                    column(canvas, float(px), float(pz), y, y + tall, 0.06, (180, 176, 170), sunlit)
            prism(
                canvas,
                frame,
                ((-deep * 0.65, tall * 0.86), (0.0, tall * 1.08), (deep * 0.65, tall * 0.86), (0.0, tall)),
                (-wide * 0.56, wide * 0.56),
                thing.colour,
                sunlit,
            )
        else:
            column(canvas, x, z, y, y + 0.55, wide, (176, 170, 160), sunlit)
            column(canvas, x, z, y + 0.5, y + tall, wide * 0.18, (166, 160, 150), sunlit)
            ball(
                canvas,
                np.array([x, y + tall, z]),
                wide * 0.2,
                canvas.tone((182, 176, 166), 0.0, (0, 0.3, -0.8), sunlit),
                12,
            )


def paint_loose(canvas: Canvas, thing: Thing) -> None:
    """Things left for a while: cartons, sacks, suitcases."""
    if thing.z < 2:
        return
    dice = Dice(thing.seed)
    sunlit = canvas.sunlit(thing.x, thing.z)
    ground_contact(canvas, thing, 0.06)
    with canvas.solid("loose clutter", thing.seed):
        for i in range(dice.whole(2, 4)):
            at = Frame(thing.x + dice.around(0, 0.5), thing.y, thing.z + dice.around(0, 0.35), thing.heading)
            tint: RGB = dice.pick(((176, 138, 96), (52, 54, 60), (120, 124, 90), (190, 186, 176), (96, 70, 110)))
            half, tall = dice.between(0.18, 0.34), dice.between(0.3, 0.7)
            if i % 2:
                ball(
                    canvas,
                    at.at([(0, 0, tall * 0.42)])[0],
                    half,
                    canvas.tone(tint, 0.0, (0, 0.4, -0.8), sunlit),
                    11,
                    1.1,
                )
            else:
                box(canvas, at, (-half, half), (-half, half), (0.0, tall), tint, sunlit)
                on_end(
                    canvas,
                    at,
                    -half - 0.005,
                    [(-half * 0.1, half * 0.1, 0.0, tall)],
                    canvas.tone(times(tint, 0.8), 0.0, (0, 0, -1), sunlit),
                )

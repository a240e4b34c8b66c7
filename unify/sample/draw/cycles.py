"""Two wheels: bicycles and motorcycles, parked or ridden, scooters, and racks of bicycles."""

from __future__ import annotations

import itertools

from unify.sample.camera import RGB
from unify.sample.canvas import Canvas
from unify.sample.dice import Dice
from unify.sample.draw.kit import Frame, Local, box, circle, mix, prism, times, tube
from unify.sample.draw.panels import light_on
from unify.sample.draw.people import Clothes, ball, dress, head, limb, torso
from unify.sample.scene import Thing

BIKE_COLOURS: tuple[RGB, ...] = (
    (46, 48, 54),
    (170, 50, 46),
    (50, 90, 140),
    (210, 210, 206),
    (60, 110, 84),
    (214, 160, 60),
)


def paint_bicycle(canvas: Canvas, thing: Thing) -> None:
    """A bicycle, with its rider if `parts` says "ridden"."""
    if thing.z < 2.5:
        return
    dice = Dice(thing.seed)
    frame = Frame.of(thing)
    sunlit = canvas.sunlit(thing.x, thing.z)
    _shade(canvas, thing)
    clothes = dress(canvas, dice, sunlit, "warm" in thing.parts)
    away = thing.heading[1] > 0.3
    with canvas.solid("bicycle", thing.seed):
        bicycle_body(canvas, frame, canvas.tone(thing.colour, 0.0, (0, 0.3, -0.7), sunlit))
    if "ridden" in thing.parts:
        with canvas.solid("bicyclist", thing.seed):
            _rider(
                canvas,
                frame,
                clothes,
                dice,
                saddle=0.95,
                grip=(0.42, 0.24, 1.02),
                pedal=(0.1, 0.12),
                away=away,
                scale=1.0,
            )


def bicycle_body(canvas: Canvas, frame: Frame, paint: RGB) -> None:
    tyre, steel = light_on((34, 34, 36), canvas), light_on((140, 142, 146), canvas)
    for a in (-0.52, 0.52):
        wheel(canvas, frame, a, 0.34, 0.045, tyre)
        if canvas.size_px(0.34, frame.z) > 12:
            for u, v in circle(9):
                _bar(canvas, frame, (a, 0, 0.34), (a + u * 0.32, 0, 0.34 + v * 0.32), 0.008, steel)
    crank, seat, neck = (-0.04, 0.0, 0.3), (-0.2, 0.0, 0.86), (0.38, 0.0, 0.84)
    for p, q, thick in (
        (crank, seat, 0.035),
        (crank, neck, 0.04),
        ((-0.17, 0.0, 0.78), neck, 0.035),
        ((-0.52, 0.0, 0.34), crank, 0.025),
        ((-0.52, 0.0, 0.34), (-0.18, 0.0, 0.76), 0.025),
        ((0.52, 0.0, 0.34), neck, 0.035),
        (neck, (0.36, 0.0, 1.0), 0.03),
    ):
        _bar(canvas, frame, p, q, thick, paint)
    _bar(canvas, frame, (0.38, -0.28, 1.02), (0.38, 0.28, 1.02), 0.03, tyre)
    _bar(canvas, frame, (-0.32, 0.0, 0.92), (-0.08, 0.0, 0.92), 0.09, tyre)


def wheel(canvas: Canvas, frame: Frame, a: float, radius: float, thick: float, colour: RGB) -> None:
    """A tyre as a ring; annotators count what is seen through the spokes as the wheel."""
    outer = [(a + u * radius, 0.0, radius + v * radius) for u, v in circle(18)]
    inner = [(a + u * (radius - thick), 0.0, radius + v * (radius - thick)) for u, v in circle(18)]
    uv_n2, _ = canvas.outline(frame.at(outer))
    canvas.claim(uv_n2)
    loop = [*outer, outer[0], inner[0], *reversed(inner)]
    canvas.face(frame.at(loop), colour)
    _bar(canvas, frame, (a, 0, 0), (a, 0, 2 * radius), thick * 1.1 if abs(frame.hz) > 0.9 else thick * 0.4, colour)


def _bar(canvas: Canvas, frame: Frame, start: Local, end: Local, thick: float, colour: RGB) -> None:
    p, q = frame.at([start, end])
    tube(canvas, p.tolist(), q.tolist(), thick, thick, colour)


def _shade(canvas: Canvas, thing: Thing) -> None:
    from unify.sample.draw.ground import darken

    hx, hz = thing.heading
    corners = [
        (thing.x + a * hx + b * hz, thing.y + 0.01, thing.z + a * hz - b * hx)
        for a, b in ((-0.85, -0.2), (-0.85, 0.2), (0.85, 0.2), (0.85, -0.2))
    ]
    uv_n2, _ = canvas.outline(corners)
    if len(uv_n2):
        darken(canvas, uv_n2, 0.66)


def _rider(
    canvas: Canvas,
    frame: Frame,
    clothes: Clothes,
    dice: Dice,
    *,
    saddle: float,
    grip: Local,
    pedal: tuple[float, float],
    away: bool,
    scale: float,
    helmet: RGB | None = None,
) -> None:
    lean = 0.16 * scale
    shoulder = saddle + 0.5 * scale
    for b, turn, tint in ((0.1, 1.0, 1.0), (-0.1, -1.0, 0.82)):
        foot = (pedal[0] + 0.13 * turn, b, pedal[1] + 0.12 + 0.1 * turn)
        knee = (0.22, b * 1.3, saddle - 0.22 + 0.12 * turn)
        limb(canvas, frame, [(-0.14, b, saddle), knee, foot], 0.15, 0.09, times(clothes.legs, tint))
        limb(canvas, frame, [foot, (foot[0] + 0.12, b, foot[2])], 0.07, 0.07, clothes.shoes)
    limb(
        canvas,
        frame,
        [(lean - 0.1, -0.2, shoulder - 0.04), (0.22, -0.26, saddle + 0.22), (grip[0], -grip[1], grip[2])],
        0.1,
        0.07,
        times(clothes.shirt, 0.82),
    )
    torso(canvas, frame, (-0.16, 0, saddle - 0.02), (lean - 0.08, 0, shoulder), 0.42, clothes.shirt)
    limb(
        canvas, frame, [(lean - 0.1, 0.2, shoulder - 0.04), (0.22, 0.26, saddle + 0.22), grip], 0.1, 0.07, clothes.shirt
    )
    limb(canvas, frame, [(lean - 0.06, 0, shoulder), (lean, 0, shoulder + 0.12)], 0.1, 0.1, clothes.skin)
    head(canvas, frame, (lean + 0.02, 0, shoulder + 0.2), 0.22, clothes, away, dice)
    if helmet is not None:
        centre = frame.at([(lean + 0.02, 0, shoulder + 0.23)])[0]
        ball(canvas, centre, 0.145, helmet, 14, 1.05)
        if not away and canvas.size_px(0.2, float(centre[2])) > 4:
            x, y, z = (float(v) for v in centre)
            canvas.face(
                [(x - 0.1, y - 0.06, z), (x + 0.1, y - 0.06, z), (x + 0.1, y + 0.04, z), (x - 0.1, y + 0.04, z)],
                (30, 34, 40),
            )


def paint_motorcycle(canvas: Canvas, thing: Thing) -> None:
    """A motorcycle or scooter; `parts`: "ridden", "pillion" (a second rider), "kick" (a stand-up scooter)."""
    if thing.z < 2.5:
        return
    dice = Dice(thing.seed)
    frame = Frame.of(thing)
    sunlit = canvas.sunlit(thing.x, thing.z)
    away = thing.heading[1] > 0.3
    _shade(canvas, thing)
    with canvas.solid("motorcycle", thing.seed):
        motorcycle_body(canvas, frame, thing, sunlit)
    if "ridden" not in thing.parts:
        return
    clothes = dress(canvas, dice, sunlit, "warm" in thing.parts)
    cap = canvas.tone(
        dice.pick(((30, 30, 34), (220, 220, 220), (180, 50, 46), (60, 80, 130))), 0.0, (0, 0.6, -0.5), sunlit
    )
    bare = "warm" in thing.parts and dice.chance(0.5)
    with canvas.solid("motorcyclist", thing.seed):
        if "pillion" in thing.parts and not away:
            _pillion(canvas, frame, dice, sunlit, away)
        _rider(
            canvas,
            frame,
            clothes,
            dice,
            saddle=0.82,
            grip=(0.5, 0.3, 1.0),
            pedal=(0.05, 0.2),
            away=away,
            scale=1.05,
            helmet=None if bare else cap,
        )
        if "pillion" in thing.parts and away:
            _pillion(canvas, frame, dice, sunlit, away)


def _pillion(canvas: Canvas, frame: Frame, dice: Dice, sunlit: float, away: bool) -> None:
    behind = Frame(frame.x - 0.38 * frame.hx, frame.y, frame.z - 0.38 * frame.hz, (frame.hx, frame.hz))
    _rider(
        canvas,
        behind,
        dress(canvas, dice, sunlit, True),
        dice,
        saddle=0.88,
        grip=(0.2, 0.16, 1.1),
        pedal=(0.1, 0.25),
        away=away,
        scale=0.95,
    )


def motorcycle_body(canvas: Canvas, frame: Frame, thing: Thing, sunlit: float) -> None:
    tyre, steel = light_on((30, 30, 32), canvas), light_on((150, 152, 156), canvas)
    scooter = thing.variant == "scooter"
    radius = 0.24 if scooter else 0.31
    reach = 0.56 if scooter else 0.66
    for a in (-reach, reach):
        wheel(canvas, frame, a, radius, 0.1, tyre)
        canvas.face(
            frame.at([(a + u * radius * 0.5, 0.0, radius + v * radius * 0.5) for u, v in circle(10)]), times(steel, 0.7)
        )
        box(canvas, frame, (a - 0.04, a + 0.04), (-0.06, 0.06), (0.0, 2 * radius), (32, 32, 34), sunlit)
    if scooter:
        profile = (
            (-0.75, 0.5),
            (-0.7, 0.82),
            (-0.1, 0.78),
            (0.05, 0.32),
            (0.35, 0.32),
            (0.46, 1.0),
            (0.56, 0.98),
            (0.5, 0.22),
            (-0.3, 0.22),
        )
        prism(canvas, frame, profile, (-0.17, 0.17), thing.colour, sunlit)
        prism(
            canvas,
            frame,
            ((-0.72, 0.8), (-0.68, 0.88), (-0.08, 0.86), (-0.1, 0.78)),
            (-0.15, 0.15),
            (36, 34, 34),
            sunlit,
        )
    else:
        prism(
            canvas, frame, ((-0.45, 0.3), (-0.4, 0.6), (0.4, 0.62), (0.42, 0.28)), (-0.16, 0.16), (56, 56, 60), sunlit
        )
        prism(canvas, frame, ((-0.05, 0.62), (0.0, 0.9), (0.38, 0.92), (0.5, 0.7)), (-0.17, 0.17), thing.colour, sunlit)
        prism(
            canvas,
            frame,
            ((-0.85, 0.72), (-0.8, 0.84), (-0.02, 0.82), (-0.05, 0.66)),
            (-0.14, 0.14),
            (34, 32, 34),
            sunlit,
        )
        _bar(canvas, frame, (-0.7, 0.16, 0.3), (0.1, 0.16, 0.28), 0.08, steel)
    _bar(canvas, frame, (reach, 0, radius), (0.46, 0, 0.98), 0.07, steel)
    _bar(canvas, frame, (0.48, -0.34, 1.02), (0.48, 0.34, 1.02), 0.045, tyre)
    lamp = frame.at([(0.58, 0, 0.9)])[0]
    ball(
        canvas,
        lamp,
        0.09,
        light_on((240, 238, 226) if thing.heading[1] < 0 else mix(thing.colour, (60, 60, 60), 0.5), canvas),
        10,
    )
    if thing.heading[1] > 0:
        ball(canvas, frame.at([(-0.86, 0, 0.72)])[0], 0.06, light_on((190, 30, 30), canvas), 8)
    elif canvas.light.night:
        canvas.glow(frame.point(0.7, 0, 0.9), 1.4, (255, 240, 210))


def paint_kick_scooter(canvas: Canvas, thing: Thing) -> None:
    """Someone on a stand-up scooter: rider and vehicle that no class names."""
    if thing.z < 2.5:
        return
    dice = Dice(thing.seed)
    frame = Frame.of(thing)
    sunlit = canvas.sunlit(thing.x, thing.z)
    _shade(canvas, thing)
    clothes = dress(canvas, dice, sunlit)
    dark = light_on((40, 40, 44), canvas)
    with canvas.solid("wheeled slow", thing.seed):
        _bar(canvas, frame, (-0.45, 0, 0.12), (0.45, 0, 0.12), 0.07, dark)
        _bar(canvas, frame, (0.45, 0, 0.1), (0.38, 0, 1.1), 0.05, dark)
        _bar(canvas, frame, (0.38, -0.24, 1.1), (0.38, 0.24, 1.1), 0.04, dark)
        for a in (-0.45, 0.47):
            ball(canvas, frame.at([(a, 0, 0.1)])[0], 0.1, dark, 10)
    with canvas.solid("other rider", thing.seed):
        for b, a in ((0.05, 0.1), (-0.05, -0.2)):
            limb(
                canvas,
                frame,
                [(-0.02, b, 0.98), (0.05 + a * 0.3, b, 0.56), (a, b, 0.18)],
                0.15,
                0.09,
                times(clothes.legs, 1.0 if b > 0 else 0.8),
            )
        torso(canvas, frame, (-0.02, 0, 0.94), (0.05, 0, 1.45), 0.4, clothes.shirt)
        for b in (0.2, -0.2):
            limb(
                canvas,
                frame,
                [(0.05, b, 1.42), (0.18, b * 1.2, 1.2), (0.38, b, 1.1)],
                0.09,
                0.07,
                times(clothes.shirt, 0.9),
            )
        limb(canvas, frame, [(0.05, 0, 1.46), (0.06, 0, 1.56)], 0.1, 0.1, clothes.skin)
        head(canvas, frame, (0.07, 0, 1.66), 0.22, clothes, thing.heading[1] > 0.3, dice)


def paint_bike_rack(canvas: Canvas, thing: Thing) -> None:
    """Hoops along the heading, with bicycles locked between them."""
    dice = Dice(thing.seed)
    frame = Frame.of(thing)
    sunlit = canvas.sunlit(thing.x, thing.z)
    steel = canvas.tone(canvas.concepts["bike rack"].colour, 0.0, (0, 0.3, -0.7), sunlit)
    count = max(2, int(thing.size[2] / 0.9))
    places = sorted(range(count), key=lambda i: -(thing.z + (i - count / 2) * 0.9 * thing.heading[1]))
    for i in places:
        along = (i - count / 2 + 0.5) * 0.9
        foot = frame.at([(along, 0, 0)])[0]
        if foot[2] < 2.5:
            continue
        with canvas.solid("bike rack", thing.seed):
            points: list[Local] = [(along, -0.4, 0.0), (along, -0.4, 0.75), (along, 0.4, 0.75), (along, 0.4, 0.0)]
            for p, q in itertools.pairwise(points):
                _bar(canvas, frame, p, q, 0.06, steel)
        if dice.chance(0.65):
            across = Frame(float(foot[0]), thing.y, float(foot[2]) - 0.12, (frame.hz, -frame.hx))
            with canvas.solid("bicycle", thing.seed + 1 + i):
                bicycle_body(canvas, across, canvas.tone(dice.pick(BIKE_COLOURS), 0.0, (0, 0.3, -0.7), sunlit))

"""People on foot and seated, and animals: bodies of limbs, so that they can be seen from any side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unify.sample.camera import RGB
from unify.sample.canvas import Canvas
from unify.sample.dice import Dice
from unify.sample.draw.kit import Frame, Local, box, circle, mix, times, tube
from unify.sample.scene import Thing

SKIN: tuple[RGB, ...] = ((236, 196, 166), (222, 172, 136), (190, 134, 98), (150, 100, 70), (104, 70, 52))
HAIR: tuple[RGB, ...] = ((38, 30, 26), (70, 48, 34), (24, 22, 24), (150, 118, 74), (130, 126, 124))
SHIRTS: tuple[RGB, ...] = (
    (190, 60, 54),
    (52, 86, 150),
    (232, 230, 224),
    (46, 48, 54),
    (72, 120, 90),
    (214, 172, 70),
    (140, 150, 160),
    (120, 66, 110),
    (212, 120, 70),
    (96, 140, 170),
    (168, 150, 126),
)
TROUSERS: tuple[RGB, ...] = ((40, 52, 84), (44, 44, 48), (92, 84, 74), (60, 70, 78), (150, 138, 116), (74, 60, 52))


@dataclass(frozen=True, slots=True)
class Clothes:
    """Final colours of one person, lit already."""

    skin: RGB
    hair: RGB
    shirt: RGB
    legs: RGB
    shoes: RGB


def dress(canvas: Canvas, dice: Dice, sunlit: float, warm: bool = False) -> Clothes:
    normal = (0.25 * canvas.light.direction[0], 0.35, -0.75)

    def lit(colour: RGB) -> RGB:
        return canvas.tone(colour, 0.0, normal, sunlit)

    skin = dice.pick(SKIN[2:] if warm else SKIN)
    return Clothes(lit(skin), lit(dice.pick(HAIR)), lit(dice.pick(SHIRTS)), lit(dice.pick(TROUSERS)), lit((38, 34, 34)))


def limb(canvas: Canvas, frame: Frame, joints: list[Local], width0: float, width1: float, colour: RGB) -> None:
    """A jointed limb, thinning from `width0` to `width1`, round at its joints."""
    world = frame.at(joints)
    count = len(joints) - 1
    for i in range(count):
        a, b = world[i], world[i + 1]
        wide0 = width0 + (width1 - width0) * i / count
        wide1 = width0 + (width1 - width0) * (i + 1) / count
        tube(canvas, a.tolist(), b.tolist(), wide0, wide1, colour)
        if canvas.size_px(wide1, float(b[2])) > 2.5:
            ball(canvas, b, wide1 / 2, colour, 8)


def ball(
    canvas: Canvas,
    centre: np.ndarray[tuple[int], np.dtype[np.float64]],
    radius: float,
    colour: RGB,
    corners: int = 12,
    tall: float = 1.0,
) -> None:
    """A round thing, facing the camera from everywhere; `colour` is lit already."""
    x, y, z = (float(v) for v in centre)
    canvas.face([(x + u * radius, y + v * radius * tall, z) for u, v in circle(corners)], colour)


def head(canvas: Canvas, frame: Frame, at: Local, size: float, clothes: Clothes, facing_away: bool, dice: Dice) -> None:
    """A head with hair, seen from behind or from the face, perhaps under a hat."""
    centre = frame.at([at])[0]
    ball(canvas, centre, size * 0.5, clothes.hair, 12, 1.15)
    if canvas.size_px(size, float(centre[2])) < 3:
        return
    if facing_away:
        ball(canvas, centre - np.array([0, size * 0.42, 0.0]), size * 0.26, clothes.skin, 8)
    else:
        ball(canvas, centre - np.array([0, size * 0.12, 0.01]), size * 0.42, clothes.skin, 12, 1.1)
    if dice.chance(0.18):
        brim = [
            (float(centre[0]) + u * size * 0.62, float(centre[1]) + size * (0.3 + v * 0.28), float(centre[2]))
            for u, v in circle(10)
        ]
        canvas.face(brim, clothes.legs)


def torso(canvas: Canvas, frame: Frame, low: Local, high: Local, breadth: float, colour: RGB) -> None:
    """A trunk from hip to neck, broad from the front and slimmer from the side, lit from one side."""
    seen = abs(frame.hz) + 0.62 * abs(frame.hx)
    wide = breadth * min(1.0, seen)
    a, b = frame.at([low, high])
    tube(canvas, a.tolist(), b.tolist(), wide * 0.84, wide, colour)
    ball(canvas, b, wide * 0.5, colour, 12, 0.5)
    side = 1.0 if canvas.light.direction[0] > 0 else -1.0
    if canvas.size_px(wide, float(a[2])) > 4:
        shift = np.array([side * wide * 0.28, 0.0, 0.0])
        tube(canvas, (a - shift).tolist(), (b - shift).tolist(), wide * 0.3, wide * 0.36, times(colour, 0.74))
        tube(
            canvas, (a + shift * 1.1).tolist(), (b + shift * 1.1).tolist(), wide * 0.2, wide * 0.24, times(colour, 1.13)
        )


def paint_person(canvas: Canvas, thing: Thing) -> None:
    """Someone on foot: `variant` walk, stand, child or group; `parts` warm, pram, cart, wheelchair."""
    if thing.z < 2.0:
        return
    dice = Dice(thing.seed)
    tall = thing.size[1]
    frame = Frame.of(thing)
    sunlit = canvas.sunlit(thing.x, thing.z)
    concept = {"child": "child", "group": "person group"}.get(thing.variant, "person")
    _foot_shadow(canvas, thing)
    if "pram" in thing.parts and thing.heading[1] > 0:
        _pram(canvas, frame, dice, sunlit, thing.seed)
    with canvas.solid(concept, thing.seed, thing.variant == "group"):
        if thing.variant == "group":
            for place in sorted((dice.around(0, 0.8), dice.around(0, 0.5)) for _ in range(5)):
                at = Frame(
                    thing.x + place[0] * 1.6,
                    thing.y,
                    thing.z + place[1],
                    dice.pick(((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0))),
                )
                _figure(canvas, at, tall * dice.between(0.92, 1.04), dice, sunlit, thing, 0.1)
        elif "wheelchair" not in thing.parts:
            _figure(canvas, frame, tall, dice, sunlit, thing, 0.0 if thing.variant == "stand" else 0.26)
    if "wheelchair" in thing.parts:
        _wheelchair(canvas, frame, thing, dice, sunlit)
    if "pram" in thing.parts and thing.heading[1] <= 0:
        _pram(canvas, frame, dice, sunlit, thing.seed)
    if "cart" in thing.parts:
        _handcart(canvas, frame, dice, sunlit, thing.seed)


def _foot_shadow(canvas: Canvas, thing: Thing) -> None:
    from unify.sample.draw.ground import darken

    uv_n2, _ = canvas.outline([(thing.x + u * 0.34, thing.y + 0.01, thing.z + v * 0.22) for u, v in circle(10)])
    if len(uv_n2):
        darken(canvas, uv_n2, 0.62)


def _figure(canvas: Canvas, frame: Frame, tall: float, dice: Dice, sunlit: float, thing: Thing, stride: float) -> None:
    clothes = dress(canvas, dice, sunlit, "warm" in thing.parts)
    away = frame.hz > 0.3
    step = stride * tall * dice.between(0.7, 1.1)
    hip, shoulder = 0.50 * tall, 0.80 * tall
    skirt = dice.chance(0.28)
    legs = [
        (step, [(0.0, 0.05 * tall, hip), (step * 0.62, 0.05 * tall, 0.27 * tall), (step, 0.05 * tall, 0.05)]),
        (-step, [(0.0, -0.05 * tall, hip), (-step * 0.25, -0.05 * tall, 0.26 * tall), (-step, -0.05 * tall, 0.06)]),
    ]
    if stride == 0:
        legs = [(0.0, [(0, b, hip), (0.0, b * 1.2, 0.05)]) for b in (0.055 * tall, -0.055 * tall)]
    arms = [(0.13 * tall, -step * 0.7), (-0.13 * tall, step * 0.7)]
    for i, ((_, joints), tint) in enumerate(zip(legs, (1.0, 0.8), strict=True)):
        colour = times(clothes.skin if skirt else clothes.legs, tint)
        limb(canvas, frame, joints, 0.085 * tall, 0.06 * tall, colour)
        foot = joints[-1]
        limb(
            canvas,
            frame,
            [(foot[0] - 0.02, foot[1], 0.04), (foot[0] + 0.08 * tall, foot[1], 0.035)],
            0.05 * tall,
            0.05 * tall,
            clothes.shoes,
        )
        b, swing = arms[i]
        if i == 1:
            limb(
                canvas,
                frame,
                [(0.0, b, shoulder), (swing * 0.35, b * 1.15, 0.62 * tall), (swing, b * 1.05, 0.48 * tall)],
                0.06 * tall,
                0.045 * tall,
                times(clothes.shirt, 0.85),
            )
    if skirt:
        a, b = frame.at([(0, 0, hip + 0.06 * tall), (0, 0, 0.27 * tall)])
        tube(canvas, a.tolist(), b.tolist(), 0.15 * tall, 0.24 * tall, clothes.legs)
    torso(canvas, frame, (0, 0, hip - 0.02 * tall), (0.01 * tall, 0, shoulder), 0.23 * tall, clothes.shirt)
    if dice.chance(0.25) and away:
        box(
            canvas,
            frame,
            (-0.16 * tall, -0.06 * tall),
            (-0.08 * tall, 0.08 * tall),
            (0.56 * tall, 0.79 * tall),
            dice.pick(SHIRTS),
            sunlit,
        )
    b, swing = arms[0]
    hand = (swing, b * 1.05, 0.48 * tall)
    limb(
        canvas,
        frame,
        [(0.0, b, shoulder), (swing * 0.35, b * 1.15, 0.62 * tall), hand],
        0.06 * tall,
        0.045 * tall,
        times(clothes.shirt, 1.04),
    )
    ball(canvas, frame.at([hand])[0], 0.03 * tall, clothes.skin, 8)
    limb(canvas, frame, [(0, 0, shoulder), (0, 0, 0.87 * tall)], 0.06 * tall, 0.06 * tall, clothes.skin)
    head(canvas, frame, (0.01 * tall, 0, 0.925 * tall), 0.125 * tall, clothes, away, dice)
    if dice.chance(0.22):
        x, y, z = frame.at([(hand[0], hand[1] * 1.1, 0.36 * tall)])[0]
        bag = canvas.tone(dice.pick(SHIRTS), 0.0, (0, 0.2, -0.8), sunlit)
        canvas.face(
            [(x - 0.13, y - 0.14, z), (x + 0.13, y - 0.14, z), (x + 0.11, y + 0.12, z), (x - 0.11, y + 0.12, z)], bag
        )


def paint_sitter(canvas: Canvas, thing: Thing) -> None:
    """Someone seated at knee height, looking along the heading."""
    if thing.z < 2.0:
        return
    dice = Dice(thing.seed)
    tall = thing.size[1]
    frame = Frame.of(thing)
    sunlit = canvas.sunlit(thing.x, thing.z)
    clothes = dress(canvas, dice, sunlit, "warm" in thing.parts)
    with canvas.solid("sitting person", thing.seed):
        _seated(canvas, frame, tall, clothes, 0.46, dice)


def _seated(canvas: Canvas, frame: Frame, tall: float, clothes: Clothes, seat: float, dice: Dice) -> None:
    for b, tint in ((0.07 * tall, 1.0), (-0.07 * tall, 0.85)):
        limb(
            canvas,
            frame,
            [(0, b, seat), (0.25 * tall, b, seat + 0.02), (0.27 * tall, b, seat - 0.25 * tall)],
            0.09 * tall,
            0.06 * tall,
            times(clothes.legs, tint),
        )
    torso(canvas, frame, (0, 0, seat), (-0.03 * tall, 0, seat + 0.3 * tall), 0.23 * tall, clothes.shirt)
    for b in (0.13 * tall, -0.13 * tall):
        limb(
            canvas,
            frame,
            [(-0.02, b, seat + 0.29 * tall), (0.06 * tall, b, seat + 0.13 * tall), (0.2 * tall, b * 0.6, seat + 0.08)],
            0.055 * tall,
            0.045 * tall,
            times(clothes.shirt, 0.92),
        )
    head(canvas, frame, (-0.02 * tall, 0, seat + 0.42 * tall), 0.125 * tall, clothes, frame.hz > 0.3, dice)


def _pram(canvas: Canvas, frame: Frame, dice: Dice, sunlit: float, seed: int) -> None:
    tint: RGB = dice.pick(((60, 66, 90), (120, 50, 56), (60, 90, 84), (70, 70, 72)))
    with canvas.solid("wheeled slow", seed):
        for b in (-0.24, 0.24):
            for a in (0.55, 1.15):
                ball(canvas, frame.at([(a, b, 0.13)])[0], 0.13, canvas.tone((34, 34, 36), 0.0), 10)
        box(canvas, frame, (0.5, 1.2), (-0.26, 0.26), (0.42, 0.78), tint, sunlit)
        hood = frame.at([(0.5, 0, 0.78)])[0]
        ball(
            canvas,
            hood + np.array([0.0, 0.08, 0.0]),
            0.3,
            canvas.tone(times(tint, 1.1), 0.0, (0, 0.6, -0.6), sunlit),
            12,
        )
        limb(canvas, frame, [(0.5, 0.2, 0.7), (0.22, 0.2, 0.98)], 0.04, 0.04, canvas.tone((60, 60, 62), 0.0))


def _handcart(canvas: Canvas, frame: Frame, dice: Dice, sunlit: float, seed: int) -> None:
    """A street seller's cart with its goods."""
    with canvas.solid("wheeled slow", seed):
        for a in (0.75, 1.75):
            ball(canvas, frame.at([(a, -0.5, 0.28)])[0], 0.28, canvas.tone((40, 38, 38), 0.0), 12)
        box(
            canvas,
            frame,
            (0.5, 2.1),
            (-0.5, 0.5),
            (0.55, 0.85),
            dice.pick(((60, 110, 130), (150, 110, 60), (120, 60, 50))),
            sunlit,
        )
        for i in range(4):
            tint: RGB = dice.pick(((226, 150, 50), (206, 70, 50), (120, 150, 60), (230, 206, 90)))
            box(canvas, frame, (0.55 + 0.38 * i, 0.88 + 0.38 * i), (-0.45, 0.45), (0.85, 1.1), tint, sunlit)


def _wheelchair(canvas: Canvas, frame: Frame, thing: Thing, dice: Dice, sunlit: float) -> None:
    clothes = dress(canvas, dice, sunlit)
    steel = canvas.tone((120, 124, 130), 0.0)
    with canvas.solid("wheeled slow", thing.seed):
        box(canvas, frame, (-0.2, 0.25), (-0.24, 0.24), (0.42, 0.5), (44, 46, 56), sunlit)
        box(canvas, frame, (-0.26, -0.2), (-0.24, 0.24), (0.45, 0.95), (44, 46, 56), sunlit)
        for b in (-0.3, 0.3):
            ring = frame.at([(u * 0.3, b, 0.3 + v * 0.3) for u, v in circle(14)])
            canvas.face(ring, canvas.tone((30, 30, 32), 0.0))
            canvas.face(frame.at([(u * 0.25, b, 0.3 + v * 0.25) for u, v in circle(14)]), steel)
        limb(canvas, frame, [(0.25, 0, 0.45), (0.45, 0, 0.12)], 0.06, 0.06, steel)
    with canvas.solid("sitting person", thing.seed):
        _seated(canvas, frame, thing.size[1], clothes, 0.52, dice)


#: animal -> (height at the back, length, profile of the trunk as shares, leg width, head height share)
ANIMALS: dict[str, tuple[float, float, float]] = {
    "cow": (1.35, 2.0, 0.11),
    "dog": (0.55, 0.85, 0.055),
    "horse": (1.55, 2.1, 0.1),
}


def paint_animal(canvas: Canvas, thing: Thing) -> None:
    """A cow, dog or horse; a horse may carry a rider (`parts`: "ridden")."""
    if thing.z < 3:
        return
    frame = Frame.of(thing)
    sunlit = canvas.sunlit(thing.x, thing.z)
    _foot_shadow(canvas, thing)
    with canvas.solid("ground animal", thing.seed):
        animal_body(canvas, frame, thing.variant, thing.colour, sunlit)
    if "ridden" in thing.parts:
        dice = Dice(thing.seed, "rider")
        clothes = dress(canvas, dice, sunlit)
        with canvas.solid("other rider", thing.seed):
            _seated(canvas, frame, 1.7, clothes, ANIMALS["horse"][0] + 0.02, dice)


def animal_body(canvas: Canvas, frame: Frame, variant: str, colour: RGB, sunlit: float) -> None:
    tall, length, leg = ANIMALS[variant]
    lit = canvas.tone(colour, 0.0, (0.2 * canvas.light.direction[0], 0.4, -0.7), sunlit)
    dark = times(lit, 0.74)
    half = length * 0.36
    trunk = tall * (0.5 if variant == "cow" else 0.42)
    for b, tone in ((-tall * 0.1, dark), (tall * 0.1, lit)):
        for a, bend in ((-half, -0.03), (half * 0.85, 0.03)):
            limb(canvas, frame, [(a, b, tall * 0.62), (a + bend, b, tall * 0.3), (a, b, 0.02)], leg * 1.5, leg, tone)
    body = frame.at([(-half, 0, tall * 0.74), (half, 0, tall * 0.74)])
    tube(canvas, body[0].tolist(), body[1].tolist(), trunk, trunk * 0.94, lit)
    for end in body:
        ball(canvas, end, trunk * 0.5, lit, 12)
    belly = frame.at([(-half * 0.9, 0, tall * 0.61), (half * 0.9, 0, tall * 0.61)])
    tube(canvas, belly[0].tolist(), belly[1].tolist(), trunk * 0.34, trunk * 0.34, times(lit, 0.86))
    if variant == "cow":
        for a, size in ((-0.5, 0.3), (0.15, 0.36), (0.75, 0.24)):
            ball(canvas, frame.at([(a * half, 0.01, tall * 0.78)])[0], trunk * size, mix(lit, (60, 50, 46), 0.35), 9)
    neck = length * 0.16
    top = tall * (1.25 if variant == "horse" else 1.02)
    limb(canvas, frame, [(half, 0, tall * 0.82), (half + neck, 0, top)], trunk * 0.62, trunk * 0.42, lit)
    limb(
        canvas,
        frame,
        [(half + neck, 0, top), (half + neck + length * 0.17, 0, top - tall * 0.12)],
        trunk * 0.44,
        trunk * 0.24,
        mix(lit, (240, 236, 228), 0.15),
    )
    limb(
        canvas,
        frame,
        [(-half - 0.02, 0, tall * 0.85), (-half - length * 0.08, 0, tall * 0.45)],
        leg * 0.7,
        leg * 0.5,
        dark,
    )
    if variant == "cow":
        for b in (-1, 1):
            limb(
                canvas,
                frame,
                [(half + neck, b * 0.08, top + 0.08), (half + neck, b * 0.2, top + 0.24)],
                0.05,
                0.02,
                times(lit, 1.2),
            )
    if variant == "horse":
        limb(canvas, frame, [(half, 0, tall * 0.98), (half + neck * 0.9, 0, top + 0.1)], 0.14, 0.1, times(lit, 0.5))

"""What grows: trees of several kinds, hedges and bushes; and the birds above."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from unify.sample.camera import RGB, Points
from unify.sample.canvas import Canvas
from unify.sample.dice import Dice
from unify.sample.draw.kit import circle, mix, times, tube
from unify.sample.scene import Thing

Floats = npt.NDArray[np.float64]


def paint_tree(canvas: Canvas, thing: Thing) -> None:
    """A tree; `variant` is broad, slim, conifer, palm or bare."""
    if thing.z < 1.5:
        return
    dice = Dice(thing.seed)
    height = thing.size[1]
    sunlit = canvas.sunlit(thing.x, thing.z)
    bark: RGB = canvas.concepts["trunk"].colour
    lit_bark = canvas.tone(bark, 0.0, (0.0, 0.2, -0.8), sunlit)
    foot = (thing.x, thing.y, thing.z)
    thick = max(0.12, height * 0.035)
    if thing.variant == "palm":
        _palm(canvas, thing, dice, lit_bark, sunlit)
        return
    bare = thing.variant == "bare"
    start = 0.06 if thing.variant == "conifer" else 0.30
    lean = dice.between(-0.03, 0.03) * height
    knee = (thing.x + lean, thing.y + height * (start + 0.1), thing.z)
    with canvas.solid("trunk", thing.seed):
        tube(canvas, foot, knee, thick, thick * 0.75, lit_bark)
    tube(
        canvas,
        (foot[0] - thick * 0.25, foot[1], foot[2]),
        (knee[0] - thick * 0.2, knee[1], knee[2]),
        thick * 0.4,
        thick * 0.3,
        times(lit_bark, 0.75),
    )
    if bare:
        _branches(canvas, thing, dice, lit_bark, knee)
        return
    leaf = mix(thing.colour, (150, 140, 60), dice.between(0.0, 0.1))
    lobes = _tiers(thing, dice) if thing.variant == "conifer" else _lobes(thing, dice, start, lean)
    limb = times(lit_bark, 0.8)
    for x, y, radius in lobes[:4]:
        tube(canvas, knee, (x, y - radius * 0.3, thing.z), thick * 0.5, thick * 0.2, limb)
    _foliage(canvas, lobes, thing, leaf, dice, sunlit, "tree")


def _lobes(thing: Thing, dice: Dice, start: float, lean: float) -> list[tuple[float, float, float]]:
    """(x, y, radius) of the clumps of a round crown, those at the back first."""
    width, height, _ = thing.size
    low, high = height * (start + 0.02), height
    middle, half = (low + high) / 2, (high - low) / 2
    slim = thing.variant == "slim"
    lobes = []
    for _ in range(9 if slim else 14):
        up = dice.between(-0.85, 0.85)
        span = max(0.25, 1 - up * up * (0.7 if up > 0 else 0.9))
        x = thing.x + lean + dice.around(0.0, 0.5) * width * span
        radius = (0.30 if slim else 0.24) * min(width, high - low) * dice.between(0.75, 1.2) * (0.6 + 0.4 * span)
        y = thing.y + middle + up * (half - radius * 0.6)
        lobes.append((x, min(y, thing.y + high - radius * 0.8), radius))
    return sorted(lobes, key=lambda lobe: -lobe[2])


def _tiers(thing: Thing, dice: Dice) -> list[tuple[float, float, float]]:
    """The same for a conifer: rows of clumps, shorter towards the top."""
    width, height, _ = thing.size
    lobes: list[tuple[float, float, float]] = []
    tiers = 11
    for tier in range(tiers):
        share = tier / (tiers - 1)
        half = width / 2 * (1 - share) * dice.between(0.85, 1.05) + 0.15
        y = thing.y + height * (0.14 + 0.82 * share)
        droop = 0.05 * height * (1 - share)
        lobes += [(thing.x + half * place / 2.4, y - abs(place) * droop, 0.3 * half + 0.12) for place in range(-2, 3)]
    return lobes


def _foliage(
    canvas: Canvas,
    lobes: list[tuple[float, float, float]],
    thing: Thing,
    leaf: RGB,
    dice: Dice,
    sunlit: float,
    concept: str,
) -> None:
    """Clumps of leaves: dark underneath and within, light where the sun reaches."""
    depth = thing.z
    centre = np.array([[x, y] for x, y, _ in lobes])
    radius = np.array([r for _, _, r in lobes])
    low = float((centre[:, 1] - radius).min())
    high = float((centre[:, 1] + radius).max())
    middle = float(centre[:, 0].mean())
    half = max(0.2, float(np.abs(centre[:, 0] - middle).max()) + float(radius.mean()))
    reach = canvas.size_px(high - low, depth)
    per_lobe = int(min(150, max(4, reach / 6)))
    side = canvas.light.direction[0]
    with canvas.solid(concept, thing.seed):
        _blobs(
            canvas,
            centre,
            radius * 0.9,
            depth,
            canvas.tone(times(leaf, 0.6), 0.0, (0, 0.2, -0.8), sunlit * 0.4),
            dice,
            20,
        )
        count = per_lobe * len(lobes)
        which = np.repeat(np.arange(len(lobes)), per_lobe)
        u, v = dice.units_n(count) * 2 - 1, dice.units_n(count) * 2 - 1
        shrink = np.sqrt(np.maximum(1.0, u * u + v * v))  # square to (nearly) disc
        spots = centre[which] + np.stack([u / shrink, v / shrink], 1) * radius[which, None]
        grain = min(1.0, 14.0 / per_lobe) * 0.5 + 0.5
        size = radius[which] * (0.13 + 0.15 * dice.units_n(count)) * grain
        upward = (spots[:, 1] - low) / max(0.1, high - low)
        sunward = (spots[:, 0] - middle) / half * side
        local = (v / shrink) * 0.5 + (u / shrink) * side * 0.3
        glow = 0.45 * upward + 0.22 * sunward + 0.34 * local + 0.22 * (dice.units_n(count) - 0.5)
        order = np.argsort(glow, kind="stable")
        bands = 6
        for band in range(bands):
            chosen = order[count * band // bands : count * (band + 1) // bands]
            share = band / (bands - 1)
            tint = mix(times(leaf, 0.62 + 0.48 * share), (226, 220, 130), 0.06 * share * sunlit)
            tone = canvas.tone(tint, 0.0, (0.3 * side, 0.2 + 0.6 * share, -0.4), sunlit)
            _blobs(canvas, spots[chosen], size[chosen], depth, tone, dice, 7)


def _blobs(canvas: Canvas, centre: Floats, radius: Floats, depth: float, colour: RGB, dice: Dice, corners: int) -> None:
    """Ragged round patches at one depth; `colour` is lit already."""
    if not len(centre):
        return
    ring = np.array(circle(corners))
    rough = 0.72 + 0.5 * dice.units_n(len(centre) * corners).reshape(len(centre), corners, 1)
    xy = centre[:, None, :] + ring[None] * radius[:, None, None] * rough
    points = np.concatenate([xy, np.full((*xy.shape[:2], 1), depth)], axis=2)
    canvas.faces(points, colour, depth)


def _branches(canvas: Canvas, thing: Thing, dice: Dice, bark: RGB, knee: tuple[float, float, float]) -> None:
    """A leafless crown; annotators outline it whole, twigs and the sky between them."""
    height = thing.size[1]
    lines: list[tuple[Points, Points, float]] = []

    def grow(start: Floats, step: Floats, thick: float, left: int) -> None:
        end = start + step
        lines.append((start, end, thick))
        if left == 0:
            return
        for _ in range(3):
            turn = dice.between(-0.75, 0.75)
            shrink = dice.between(0.6, 0.82)
            grow(
                end,
                np.array([step[0] + turn * step[1], step[1] - 0.4 * turn * step[0], 0.0]) * shrink,
                thick * 0.6,
                left - 1,
            )

    rise = (thing.y + height - knee[1]) * 0.36
    for lean in (-0.6, 0.1, 0.65):
        grow(np.array(knee), np.array([rise * lean, rise, 0.0]), height * 0.016, 3)
    with canvas.solid("tree", thing.seed):
        ends = np.array([end[:2] for _, end, _ in lines])
        middle = ends.mean(axis=0)
        ring = []
        for u, v in circle(18):
            reach = ((ends - middle) @ np.array([u, v])).max()
            ring.append((middle[0] + u * reach * 0.96, middle[1] + v * reach * 0.96, thing.z))
        uv_n2, _ = canvas.outline(ring)
        canvas.claim(uv_n2)
        for start, end, thick in lines:
            tube(canvas, start.tolist(), end.tolist(), thick, thick * 0.7, bark)


def _palm(canvas: Canvas, thing: Thing, dice: Dice, bark: RGB, sunlit: float) -> None:
    width, height, _ = thing.size
    lean = dice.between(-0.12, 0.12) * height
    points = [(thing.x + lean * t * t, thing.y + height * 0.86 * t, thing.z) for t in (0.0, 0.35, 0.7, 1.0)]
    with canvas.solid("trunk", thing.seed):
        for a, b in itertools.pairwise(points):
            tube(canvas, a, b, 0.34, 0.28, bark)
    top = points[-1]
    side = canvas.light.direction[0]
    with canvas.solid("tree", thing.seed):
        for u, v in circle(13):
            bend = width * 0.5
            droop = 0.28 * (1 - v) * bend
            tip = (top[0] + u * bend, top[1] + v * bend * 0.5 - droop, top[2])
            mid = (top[0] + u * bend * 0.55, top[1] + v * bend * 0.42 + 0.15, top[2])
            tint = canvas.tone(times(thing.colour, 0.8 + 0.25 * v + 0.2 * u * side), 0.0, (0, 0.6, -0.4), sunlit)
            width_px = 0.5
            for shift in (-width_px, width_px):
                leaf = [top, (mid[0], mid[1] + shift, mid[2]), tip]
                canvas.face(leaf, tint if shift > 0 else times(tint, 0.72))


def paint_hedge(canvas: Canvas, thing: Thing) -> None:
    """A clipped hedge along its heading, or a bush."""
    dice = Dice(thing.seed)
    width, height, length = thing.size
    sunlit = canvas.sunlit(thing.x, thing.z)
    hx, hz = thing.heading
    count = max(2, int(length / max(0.5, height * 0.5)))
    lit = canvas.tone(times(thing.colour, 0.55), 0.0, (0, 0.2, -0.8), sunlit)
    side = canvas.light.direction[0]
    runs: list[tuple[float, float, float]] = []
    for i in range(count):
        along = (i + 0.5) / count * length - length / 2
        runs.append((thing.x + along * hx, thing.z + along * hz, dice.between(0.88, 1.06)))
    runs.sort(key=lambda run: -run[1])
    with canvas.solid("hedge", thing.seed):
        for x, z, tall in runs:
            if z < 1.2:
                continue
            top = height * tall
            step = length / count
            lobes = np.array(
                [
                    [x + dx * (width * 0.5 + step * 0.35 * abs(hx)), thing.y + top * dy]
                    for dx in (-0.6, 0.0, 0.6)
                    for dy in (0.25, 0.62)
                ]
            )
            _blobs(canvas, lobes, np.full(6, top * 0.42), z, lit, dice, 10)
            n = int(min(60, max(6, canvas.size_px(top, z) / 2)))
            spots = np.stack(
                [
                    x + (dice.units_n(n) - 0.5) * (width * 0.9 + step * 1.1 * abs(hx)),
                    thing.y + top * (0.1 + 0.9 * dice.units_n(n)),
                ],
                1,
            )
            glow = (spots[:, 1] - thing.y) / top + 0.3 * side * (spots[:, 0] - x) + 0.35 * dice.units_n(n)
            order = np.argsort(glow, kind="stable")
            for band in range(4):
                chosen = order[n * band // 4 : n * (band + 1) // 4]
                tone = canvas.tone(
                    times(thing.colour, 0.68 + 0.2 * band), 0.0, (0.2 * side, 0.3 + 0.2 * band, -0.5), sunlit
                )
                _blobs(canvas, spots[chosen], np.full(len(chosen), top * 0.11), z, tone, dice, 7)


def paint_bird(canvas: Canvas, thing: Thing) -> None:
    """A few birds: in the air with spread wings, or a pigeon on the ground."""
    dice = Dice(thing.seed)
    flock = 1 if thing.variant == "ground" else 4
    for i in range(flock):
        x = thing.x + (dice.around(0, 2.4) if i else 0.0)
        y = thing.y + (dice.around(0, 1.2) if i else 0.0)
        span = thing.size[0] * dice.between(0.8, 1.1)
        colour = canvas.tone(thing.colour, 0.0)
        with canvas.solid("bird", thing.seed + i):
            if thing.variant == "ground":
                body = [(x + u * span * 0.3, y + 0.14 + v * span * 0.16, thing.z) for u, v in circle(10)]
                canvas.face(body, colour)
                head = [(x + span * 0.28 + u * 0.05, y + 0.26 + v * 0.05, thing.z) for u, v in circle(8)]
                canvas.face(head, times(colour, 0.8))
                tail = [
                    (x - span * 0.24, y + 0.17, thing.z),
                    (x - span * 0.5, y + 0.1, thing.z),
                    (x - span * 0.26, y + 0.1, thing.z),
                ]
                canvas.face(tail, times(colour, 0.7))
            else:
                lift = dice.between(0.15, 0.35) * span
                for wing in (-1, 1):
                    points = [
                        (x, y, thing.z),
                        (x + wing * span * 0.25, y + lift, thing.z),
                        (x + wing * span * 0.5, y + lift * 0.6, thing.z),
                        (x + wing * span * 0.22, y + lift * 0.5, thing.z),
                    ]
                    canvas.face(points, colour)
                canvas.face(
                    [
                        (x - 0.06, y + 0.05, thing.z),
                        (x + 0.06, y + 0.05, thing.z),
                        (x + 0.04, y - span * 0.22, thing.z),
                        (x - 0.04, y - span * 0.22, thing.z),
                    ],
                    times(colour, 0.85),
                )

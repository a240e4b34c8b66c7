"""What is built along and over the road: walls, fences, rails and barriers, bridges, tunnels, gates."""

from __future__ import annotations

import itertools

import numpy as np

from unify.sample.camera import RGB
from unify.sample.canvas import Canvas
from unify.sample.dice import Dice
from unify.sample.draw.kit import Frame, Wall, box, column, mix, prism, times, tube
from unify.sample.scene import Thing


def upright(canvas: Canvas, thing: Thing) -> list[Wall]:
    """The long sides that are seen of something thin and upright, each from its left to its right end."""
    frame = Frame.of(thing)
    half, length = thing.size[0] / 2, thing.size[2]
    walls = []
    for side in (-1.0, 1.0):
        ends = frame.at([(-length / 2, side * half, 0), (length / 2, side * half, 0)])
        ends[:, 2] = np.maximum(ends[:, 2], 1.0)
        normal = frame.normal(0, side, 0)
        middle = ends.mean(axis=0)
        if canvas.camera.sees(normal, (float(middle[0]), 1.0, float(middle[2]))):
            # facing a wall, its left end lies at the normal turned left
            along = ends[:, 0] * -normal[2] + ends[:, 2] * normal[0]
            left, right = ((float(ends[i, 0]), float(ends[i, 2])) for i in np.argsort(along))
            walls.append(Wall(canvas, left, right, thing.y, normal, canvas.sunlit(thing.x, thing.z)))
    return walls


def paint_wall(canvas: Canvas, thing: Thing) -> None:
    """A free-standing wall; `variant` names its texture, `parts` may say "noise" for a noise barrier."""
    tall = thing.size[1]
    concept = "far barrier" if "far" in thing.parts else "wall"
    frame = Frame.of(thing)
    half, length = thing.size[0] / 2, thing.size[2]
    with canvas.solid(concept, thing.seed):
        top = frame.at(
            [(-length / 2, -half, tall), (length / 2, -half, tall), (length / 2, half, tall), (-length / 2, half, tall)]
        )
        if tall < canvas.camera.y_m:
            canvas.face(top, times(thing.colour, 1.1), (0, 1, 0))
        for wall in upright(canvas, thing):
            wall.surface(((0, 0), (wall.length, 0), (wall.length, tall), (0, tall)), thing.colour, thing.variant)
            wall.rect(0, wall.length, tall - 0.12, tall, times(thing.colour, 1.14), 0.03)
            if "noise" in thing.parts:
                posts = [(4.0 * i, 4.0 * i + 0.25, 0.0, tall) for i in range(int(wall.length / 4))]
                wall.rects(posts, times(thing.colour, 0.72), 0.08)
        near = frame.at([(-length / 2, 0, 0)])[0]
        far = frame.at([(length / 2, 0, 0)])[0]
        x, z = (float(near[0]), float(near[2])) if near[2] < far[2] else (float(far[0]), float(far[2]))
        if z > 1.2 and abs(frame.hz) > 0.5:
            end = Wall(canvas, (x - half, z), (x + half, z), thing.y, (0, 0, -1))
            end.rect(0, end.length, 0, tall, thing.colour)


def paint_fence(canvas: Canvas, thing: Thing) -> None:
    """A fence; `variant` picket, iron or mesh. The whole panel counts, gaps and all, as annotators have it."""
    tall = thing.size[1]
    for wall in upright(canvas, thing):
        with canvas.solid("fence", thing.seed):
            uv_n2, _ = canvas.outline(
                wall.world(np.array([(0, 0), (wall.length, 0), (wall.length, tall), (0, tall)], np.float64))
            )
            if not len(uv_n2):
                continue
            canvas.claim(uv_n2)
            px = wall.px_per_m()
            if thing.variant == "mesh":
                step, bar = 0.35, 0.03
            else:
                step, bar = (0.24, 0.13) if thing.variant == "picket" else (0.16, 0.03)
            while px * step < 2.2 and step < 2:
                step, bar = step * 2, bar * 1.7
            bars = [(step * i, step * i + bar, 0.04, tall - 0.04) for i in range(int(wall.length / step))]
            wall.rects(bars, thing.colour)
            wall.rects(
                [(0, wall.length, tall * 0.16, tall * 0.16 + 0.07), (0, wall.length, tall * 0.84, tall * 0.84 + 0.07)],
                times(thing.colour, 0.9),
            )
            if thing.variant == "mesh":
                rows = [(0, wall.length, tall * i / 6, tall * i / 6 + bar) for i in range(7)]
                wall.rects(rows, thing.colour)
            wall.rects(
                [(2.4 * i, 2.4 * i + 0.1, 0, tall + 0.06) for i in range(int(wall.length / 2.4) + 1)],
                times(thing.colour, 0.85),
            )


def paint_guard_rail(canvas: Canvas, thing: Thing) -> None:
    for wall in upright(canvas, thing):
        with canvas.solid("guard rail", thing.seed):
            wall.rects(
                [(2.0 * i, 2.0 * i + 0.12, 0, 0.72) for i in range(int(wall.length / 2.0) + 1)],
                times(thing.colour, 0.7),
                -0.1,
            )
            wall.rect(0, wall.length, 0.46, 0.78, thing.colour)
            wall.rect(0, wall.length, 0.59, 0.65, times(thing.colour, 0.66), 0.02)
            wall.rect(0, wall.length, 0.70, 0.78, times(thing.colour, 1.18), 0.02)
            uv_n2, _ = canvas.outline(
                wall.world(np.array([(0, 0.05), (wall.length, 0.05), (wall.length, 0.78), (0, 0.78)], np.float64))
            )
            canvas.claim(uv_n2)


def paint_barrier(canvas: Canvas, thing: Thing) -> None:
    """`variant`: block (concrete), separator (low lane divider), boards (striped, for a building site)."""
    if thing.z + thing.size[2] / 2 < 2:
        return
    frame = Frame.of(thing)
    wide, tall, length = thing.size
    sunlit = canvas.sunlit(thing.x, max(2.0, thing.z))
    pieces = max(1, int(length / 2.2))
    step = length / pieces
    places = sorted((-length / 2 + (i + 0.5) * step for i in range(pieces)), key=lambda a: -(thing.z + a * frame.hz))
    concept = {"block": "concrete block", "separator": "lane separator", "boards": "temporary barrier"}[thing.variant]
    with canvas.solid(concept, thing.seed):
        for i, along in enumerate(places):
            x, _, z = frame.at([(along, 0, 0)])[0]
            if z < 1.5:
                continue
            piece = Frame(float(x), thing.y, float(z), (frame.hz, -frame.hx))  # its profile lies across the row
            if thing.variant == "block":
                profile = (
                    (-wide / 2, 0),
                    (-wide / 2, tall * 0.2),
                    (-wide * 0.22, tall * 0.45),
                    (-wide * 0.15, tall),
                    (wide * 0.15, tall),
                    (wide * 0.22, tall * 0.45),
                    (wide / 2, tall * 0.2),
                    (wide / 2, 0),
                )
                prism(canvas, piece, profile, (-step * 0.485, step * 0.485), thing.colour, sunlit)
            elif thing.variant == "separator":
                tint = thing.colour if i % 2 else (232, 230, 222)
                prism(
                    canvas,
                    piece,
                    ((-wide / 2, 0), (-wide * 0.3, tall), (wide * 0.3, tall), (wide / 2, 0)),
                    (-step * 0.48, step * 0.48),
                    tint,
                    sunlit,
                )
            else:
                _board(canvas, piece, step, tall, sunlit)


def _board(canvas: Canvas, piece: Frame, step: float, tall: float, sunlit: float) -> None:
    """One striped plank on two feet, facing along its frame."""
    for b in (-step * 0.38, step * 0.38):
        box(canvas, piece, (-0.05, 0.05), (b - 0.05, b + 0.05), (0, tall), (90, 90, 94), sunlit)
        box(canvas, piece, (-0.25, 0.25), (b - 0.12, b + 0.12), (0, 0.1), (50, 50, 54), sunlit)
    stripes = 8
    for i in range(stripes):
        b0, b1 = -step / 2 + step * i / stripes, -step / 2 + step * (i + 1) / stripes
        tint: RGB = (214, 50, 40) if i % 2 else (240, 238, 232)
        box(canvas, piece, (-0.07, -0.05), (b0, b1), (tall * 0.66, tall), tint, sunlit)
        box(canvas, piece, (-0.07, -0.05), (b0, b1), (tall * 0.24, tall * 0.42), tint, sunlit)


def paint_boom(canvas: Canvas, thing: Thing) -> None:
    """A barrier arm from a post at the roadside over the lane."""
    if thing.z < 3:
        return
    reach = thing.size[2]
    toward = -1.0 if thing.x > 0 else 1.0
    sunlit = canvas.sunlit(thing.x, thing.z)
    with canvas.solid("boom gate", thing.seed):
        box(canvas, Frame.of(thing), (-0.2, 0.2), (-0.2, 0.2), (0.0, 1.25), (206, 204, 198), sunlit)
        bars = 12
        lift = 0.04 if "open" not in thing.parts else 1.6
        for i in range(bars):
            s0, s1 = reach * i / bars, reach * (i + 1) / bars
            tint = canvas.tone((212, 44, 40) if i % 2 else (242, 240, 234), 0.0, (0, 0.2, -0.9), sunlit)
            start = (thing.x + toward * s0, thing.y + 1.05 + lift * s0, thing.z)
            end = (thing.x + toward * s1, thing.y + 1.05 + lift * s1, thing.z)
            tube(canvas, start, end, 0.13, 0.12, tint)


def paint_bridge(canvas: Canvas, thing: Thing) -> None:
    """A deck over the road on pillars: `size` is (span across, clearance, width along the road)."""
    if thing.z < 5:
        return
    span, clear, along = thing.size
    x0, x1 = thing.x - span / 2, thing.x + span / 2
    z0, z1 = thing.z - along / 2, thing.z + along / 2
    deep = 1.3
    dice = Dice(thing.seed)
    with canvas.solid("bridge", thing.seed):
        canvas.face(
            [(x0, clear, z0), (x1, clear, z0), (x1, clear, z1), (x0, clear, z1)], times(thing.colour, 0.6), (0, -1, 0)
        )
        for i in range(9):
            b = x0 + span * (i + 0.5) / 9
            canvas.face(
                [
                    (b, clear - 0.01, z0),
                    (b + 0.5, clear - 0.01, z0),
                    (b + 0.5, clear - 0.01, z1),
                    (b, clear - 0.01, z1),
                ],
                times(thing.colour, 0.48),
                (0, -1, 0),
            )
        for x in (thing.x - span * 0.17 - 4, thing.x + span * 0.17 + 4):
            for z in (z1 - 1.2, z0 + 1.2):
                column(canvas, x, z, 0.0, clear, 0.95, thing.colour, 0.4)
        front = Wall(canvas, (x0, z0), (x1, z0), clear, (0, 0, -1))
        front.surface(((0, 0), (span, 0), (span, deep), (0, deep)), thing.colour, "concrete")
        front.rect(0, span, deep - 0.25, deep, times(thing.colour, 1.15), 0.1)
        front.rects([(0.9 * i, 0.9 * i + 0.06, deep, deep + 1.0) for i in range(int(span / 0.9))], (120, 124, 128), 0.0)
        front.rect(0, span, deep + 0.95, deep + 1.05, (130, 134, 138))
        uv_n2, _ = canvas.outline(
            front.world(np.array([(0, deep), (span, deep), (span, deep + 1.05), (0, deep + 1.05)], np.float64))
        )
        canvas.claim(uv_n2)
    stains = [span * dice.between(0.3, 0.7) for _ in range(7)]
    for s in stains:
        front.polygon(
            ((s, deep - 0.3), (s + dice.between(0.15, 0.5), deep - 0.3), (s + 0.2, deep - dice.between(0.6, 1.2))),
            times(thing.colour, 0.8),
            0.02,
        )


ARCH = tuple(
    (round(u, 6), round(v, 6))
    for u, v in (
        (1.0, 0.0),
        (0.966, 0.259),
        (0.866, 0.5),
        (0.707, 0.707),
        (0.5, 0.866),
        (0.259, 0.966),
        (0.0, 1.0),
        (-0.259, 0.966),
        (-0.5, 0.866),
        (-0.707, 0.707),
        (-0.866, 0.5),
        (-0.966, 0.259),
        (-1.0, 0.0),
    )
)


def arch_points(half: float, spring: float, rise: float) -> list[tuple[float, float]]:
    """The inside of an opening, from its right foot over the arch to its left foot: (across, up)."""
    return [(half, 0.0), *((u * half, spring + v * rise) for u, v in ARCH), (-half, 0.0)]


def paint_portal(canvas: Canvas, thing: Thing) -> None:
    """The front of a tunnel or of a town gate: a wall with an arched opening over the road.

    `size` is (width of the front, its height, half width of the opening); `variant` tunnel or gate.
    """
    if thing.z < 3:
        return
    wide, tall, half = thing.size
    concept = "tunnel" if thing.variant == "tunnel" else "archway"
    spring, rise = (4.2, 1.8) if concept == "tunnel" else (3.4, half * 0.8)
    opening = arch_points(half, spring, rise)
    z, colour = thing.z, thing.colour
    front = Wall(canvas, (thing.x - wide / 2, z), (thing.x + wide / 2, z), 0.0, (0, 0, -1), 0.6)
    middle = wide / 2
    outline = [(0.0, 0.0), (0.0, tall), (wide, tall), (wide, 0.0), *((middle + u, v) for u, v in opening)]
    with canvas.solid(concept, thing.seed):
        front.surface(outline, colour, "blocks")
        ring = [(middle + u * 1.0, v) for u, v in opening[1:-1]]
        outer = [(middle + u * 1.09, spring + (v - spring) * 1.14) for u, v in opening[1:-1]]
        front.polygon([*ring, *reversed(outer)], times(colour, 1.2), 0.05)
        front.rect(0, wide, tall - 0.5, tall, times(colour, 1.12), 0.15)
        if concept == "archway":
            dice = Dice(thing.seed)
            for i in range(5):
                s = wide * (i + 0.5) / 5
                front.rect(s - 0.55, s + 0.55, tall - 3.0, tall - 1.3, (236, 230, 218), 0.03)
                front.rect(s - 0.42, s + 0.42, tall - 2.9, tall - 1.4, (52, 64, 76), 0.05)
            tower = [
                (middle - 2.6, tall),
                (middle - 2.6, tall + 3.2),
                (middle, tall + 6.4),
                (middle + 2.6, tall + 3.2),
                (middle + 2.6, tall),
            ]
            front.polygon(tower[:2] + tower[3:], mix(colour, (236, 226, 206), 0.3))
            front.polygon(
                [(middle - 3.0, tall + 3.1), (middle, tall + dice.between(6.0, 7.4)), (middle + 3.0, tall + 3.1)],
                (126, 66, 50),
                0.1,
            )
            front.rect(middle - 0.5, middle + 0.5, tall + 1.0, tall + 2.6, (60, 66, 74), 0.05)


def paint_vault(canvas: Canvas, thing: Thing) -> None:
    """The inside of a tunnel or gate: side walls and arch from `z - length / 2` on, and its lamps.

    `size` is (half width of the opening, unused, length); `variant` as for the portal.
    """
    half, _, length = thing.size
    concept = "tunnel" if thing.variant == "tunnel" else "archway"
    spring, rise = (4.2, 1.8) if concept == "tunnel" else (3.4, half * 0.8)
    z0, z1 = max(1.0, thing.z - length / 2), thing.z + length / 2
    ring = [(thing.x + u, v) for u, v in arch_points(half, spring, rise)]
    cuts = [z1]
    while cuts[-1] > z0 * 1.02:
        cuts.append(max(z0, cuts[-1] * 0.72))
    with canvas.solid(concept, thing.seed):
        for far, near in itertools.pairwise(cuts):
            for i, ((xa, ya), (xb, yb)) in enumerate(itertools.pairwise(ring)):
                glow = 0.62 if i in (0, len(ring) - 2) else 0.46  # the walls are lighter than the arch
                tint = times(thing.colour, glow * (0.75 if concept == "archway" else 1.0))
                canvas.face([(xa, ya, far), (xa, ya, near), (xb, yb, near), (xb, yb, far)], tint)
        if "closed" in thing.parts:
            canvas.face([(x, y, z1) for x, y in ring], (34, 32, 30))
    if concept != "tunnel":
        return
    for side in (-1.0, 1.0):
        x = thing.x + side * (half - 0.02)
        canvas.face([(x, 0.9, z1), (x, 0.9, z0), (x, 1.05, z0), (x, 1.05, z1)], (196, 180, 120))
        panels = [
            [(x, 0.0, z), (x, 2.6, z), (x, 2.6, z + 0.12), (x, 0.0, z + 0.12)] for z in np.arange(z0 + 2, z1, 6.0)
        ]
        canvas.faces(np.array(panels), times(thing.colour, 0.42), (z0 + z1) / 4)
    for step in range(int(length / 5)):
        z = z0 + 2 + step * 5.0
        for x in (thing.x - half * 0.35, thing.x + half * 0.35):
            lamp = [
                (x - 0.25, spring + rise * 0.82, z),
                (x + 0.25, spring + rise * 0.82, z),
                (x + 0.25, spring + rise * 0.82, z + 1.8),
                (x - 0.25, spring + rise * 0.82, z + 1.8),
            ]
            canvas.face(lamp, (255, 232, 178))

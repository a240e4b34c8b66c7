"""Buildings: an upright box, a roof, and facades in the manner of the place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from unify.sample.camera import RGB
from unify.sample.canvas import Canvas
from unify.sample.dice import Dice
from unify.sample.draw.kit import Wall, mix, times
from unify.sample.draw.lettering import SHOP_NAMES, letter_boxes
from unify.sample.scene import Thing

Box = tuple[float, float, float, float]

SIGN_COLOURS: tuple[RGB, ...] = (
    (188, 44, 40),
    (32, 84, 150),
    (28, 112, 82),
    (236, 196, 60),
    (40, 42, 48),
    (230, 226, 216),
    (208, 98, 34),
    (110, 50, 110),
)
GLASS: RGB = (52, 64, 76)


def paint_building(canvas: Canvas, thing: Thing) -> None:
    """A building; `variant` is its manner, `parts` may name "shop", "roof", "garage"."""
    dice = Dice(thing.seed)
    width, height, length = thing.size
    x0, x1 = thing.x - width / 2, thing.x + width / 2
    z0, z1 = max(1.0, thing.z - length / 2), thing.z + length / 2
    if z1 <= z0 + 0.5:
        return
    concept = "garage" if "garage" in thing.parts else "building"
    walls = []
    if canvas.camera.sees((-1.0, 0.0, 0.0), (x0, 1.0, z1)):
        walls.append(Wall(canvas, (x0, z1), (x0, z0), thing.y, (-1.0, 0.0, 0.0)))
    if canvas.camera.sees((1.0, 0.0, 0.0), (x1, 1.0, z1)):
        walls.append(Wall(canvas, (x1, z0), (x1, z1), thing.y, (1.0, 0.0, 0.0)))
    if canvas.camera.sees((0.0, 0.0, -1.0), (thing.x, 1.0, z0)):
        walls.append(Wall(canvas, (x0, z0), (x1, z0), thing.y, (0.0, 0.0, -1.0)))
    facade = FACADES[thing.variant]
    with canvas.solid(concept, thing.seed):
        if "roof" in thing.parts:
            _pitched_roof(canvas, thing, dice.child("roof"))
        for wall in walls:
            facade(wall, height, thing, dice.child("facade"))
        if "roof" not in thing.parts and thing.variant in ("bazaar", "modern"):
            _rooftop(canvas, thing, dice.child("top"))
    for wall in walls:
        if "shop" in thing.parts and not (wall.normal[2] < -0.5 and "endshop" not in thing.parts):
            _shop_signs(wall, thing, dice.child("signs"))


def _pitched_roof(canvas: Canvas, thing: Thing, dice: Dice) -> None:
    """A ridge along the longer side of the street front, seen as its near slope or its gable."""
    width, height, length = thing.size
    x0, x1 = thing.x - width / 2 - 0.3, thing.x + width / 2 + 0.3
    z0, z1 = max(1.0, thing.z - length / 2 - 0.2), thing.z + length / 2 + 0.2
    top = thing.y + height
    pitch = dice.between(0.55, 0.95) * min(width, 12.0) / 2
    colour = dice.pick(((150, 74, 52), (124, 66, 50), (96, 84, 78), (82, 80, 84), (164, 92, 62)))
    ridge = thing.y + height + pitch
    middle = thing.x
    along_street = "gable" not in thing.parts
    if along_street:
        for side, edge in ((-1.0, x0), (1.0, x1)):
            normal = (side * 0.7, 0.7, 0.0)
            slope = [(edge, top, z0), (edge, top, z1), (middle, ridge, z1), (middle, ridge, z0)]
            if canvas.camera.sees(normal, slope[0]):
                canvas.face(slope, times(colour, dice.between(0.92, 1.08)), normal)
                _roof_rows(canvas, slope, colour, normal)
        if canvas.camera.sees((0.0, 0.0, -1.0), (middle, 2.0, z0 + 0.2)):
            gable = [(x0 + 0.3, top, z0 + 0.2), (middle, ridge - 0.1, z0 + 0.2), (x1 - 0.3, top, z0 + 0.2)]
            canvas.face(gable, thing.colour, (0.0, 0.0, -1.0))
        if length > 8 and dice.chance(0.6):
            _dormers(canvas, thing, top, pitch, colour)
    else:
        mid_z = (z0 + z1) / 2
        for side, edge in ((1.0, z1), (-1.0, z0)):
            normal = (0.0, 0.7, side * 0.7)
            slope = [(x0, top, edge), (x1, top, edge), (x1, ridge, mid_z), (x0, ridge, mid_z)]
            if canvas.camera.sees(normal, slope[0]):
                canvas.face(slope, colour, normal)
        for side, edge in ((-1.0, x0 + 0.3), (1.0, x1 - 0.3)):
            if canvas.camera.sees((side, 0.0, 0.0), (edge, 2.0, mid_z)):
                canvas.face(
                    [(edge, top, z0), (edge, ridge - 0.1, mid_z), (edge, top, z1)], thing.colour, (side, 0.0, 0.0)
                )
                attic = Wall(canvas, (edge, mid_z + 0.5), (edge, mid_z - 0.5), top, (side, 0.0, 0.0))
                attic.rect(0.1, 0.9, pitch * 0.2, pitch * 0.2 + 1.0, (236, 232, 224))
                attic.rect(0.2, 0.8, pitch * 0.2 + 0.1, pitch * 0.2 + 0.9, GLASS)
    if dice.chance(0.7):
        _chimney(canvas, middle + dice.between(-1, 1), (z0 + z1) / 2 + dice.between(-1, 1), ridge - 0.6)


def _roof_rows(canvas: Canvas, slope: list[tuple[float, float, float]], colour: RGB, normal: RGB) -> None:
    """Lines of tiles along a slope, where it is near enough to see them."""
    depth = max(2.0, (slope[0][2] + slope[1][2]) / 2)
    if canvas.size_px(0.35, depth) < 1.5:
        return
    corner = np.array(slope)
    dark = canvas.tone(times(colour, 0.8), 0.0, normal)
    rows = []
    for row in range(1, 12):
        low = corner[0] + (corner[3] - corner[0]) * (row / 12)
        far = corner[1] + (corner[2] - corner[1]) * (row / 12)
        lift = (corner[3] - corner[0]) * 0.02
        rows.append([low, far, far + lift, low + lift])
    canvas.faces(np.array(rows), dark, depth)


def _dormers(canvas: Canvas, thing: Thing, top: float, pitch: float, roof: RGB) -> None:
    width, _, length = thing.size
    side = -1.0 if thing.x > canvas.camera.x_m else 1.0
    edge = thing.x + side * (width / 2 - width * 0.16)
    count = max(1, int(length / 4))
    for i in range(count):
        z = thing.z - length / 2 + length * (i + 0.5) / count
        if z < 4:
            continue
        wall = Wall(canvas, (edge, z + 0.7), (edge, z - 0.7), top + pitch * 0.1, (side, 0.0, 0.0))
        if side > 0:
            wall = Wall(canvas, (edge, z - 0.7), (edge, z + 0.7), top + pitch * 0.1, (side, 0.0, 0.0))
        wall.polygon(
            ((0, 0), (1.4, 0), (1.4, pitch * 0.4), (0.7, pitch * 0.55), (0, pitch * 0.4)),
            mix(roof, (230, 226, 218), 0.5),
        )
        wall.rect(0.25, 1.15, pitch * 0.06, pitch * 0.36, GLASS)


def _chimney(canvas: Canvas, x: float, z: float, y: float) -> None:
    if z < 3:
        return
    side = -1.0 if x > canvas.camera.x_m else 1.0  # of the two flanks, the one that is seen
    flank = x + side * 0.35
    faces: tuple[tuple[RGB, tuple[float, float], tuple[float, float]], ...] = (
        ((0.0, 0.0, -1.0), (x - 0.35, z), (x + 0.35, z)),
        ((side, 0.0, 0.0), (flank, z), (flank, z + 0.6)),
    )
    for normal, start, end in faces:
        wall = Wall(canvas, start, end, y, normal)
        wall.rect(0, wall.length, 0, 1.5, (140, 84, 66))
        wall.rect(-0.05, wall.length + 0.05, 1.4, 1.55, (180, 172, 160))


def _rooftop(canvas: Canvas, thing: Thing, dice: Dice) -> None:
    """What stands on flat roofs: a lift house, a water tank, a mast."""
    width, height, length = thing.size
    top = thing.y + height
    side = -1.0 if thing.x > canvas.camera.x_m else 1.0
    for _ in range(dice.whole(0, 2)):
        x = thing.x + side * width * dice.between(0.0, 0.35)
        z = thing.z + length * dice.between(-0.35, 0.3)
        wide, tall = dice.between(0.8, 1.8), dice.between(0.9, 2.2)
        if z < 4:
            continue
        colour = dice.pick(((36, 38, 44), (190, 186, 178), (150, 146, 140), (60, 110, 150)))
        Wall(canvas, (x - wide, z), (x + wide, z), top, (0.0, 0.0, -1.0)).rect(0, 2 * wide, 0, tall, colour)


def _windows(wall: Wall, boxes: list[Box], dice: Dice, frame: RGB, mullions: int, sill: RGB | None) -> None:
    """Framed panes; each pane reflects a little more or less of the sky."""
    if not boxes:
        return
    px = wall.px_per_m()
    trim = 0.09
    if px > 4:
        wall.rects([(s0 - trim, s1 + trim, h0 - trim, h1 + trim) for s0, s1, h0, h1 in boxes], frame, 0.02)
        if sill is not None:
            wall.rects([(s0 - 0.18, s1 + 0.18, h0 - 0.2, h0 - trim) for s0, s1, h0, _ in boxes], sill, 0.08)
    light = wall.canvas.light
    reflected = mix(GLASS, light.sky_low, 0.32 if wall.normal[2] > -0.5 else 0.2)
    kinds: tuple[list[Box], ...] = ([], [], [], [])
    for box in boxes:
        kinds[dice.weighted({0: 5.0, 1: 3.0, 2: 1.6, 3: 0.3 + 2.5 * light.night})].append(box)
    tones = (reflected, times(reflected, 0.72), times(reflected, 1.28), (236, 206, 140))
    for kind, tone in zip(kinds, tones, strict=True):
        wall.rects(kind, tone, 0.03, glowing=tone is tones[3] and light.night > 0)
    if light.night:
        for s0, s1, h0, h1 in kinds[3]:
            where = wall.world(np.array([(s0 + s1) / 2, (h0 + h1) / 2]), 0.3)
            wall.canvas.glow((float(where[0]), float(where[1]), float(where[2])), 0.8, (160, 130, 90))
    if px < 7:
        return
    wall.rects([(s0, s1, h1 - (h1 - h0) * 0.28, h1) for s0, s1, h0, h1 in kinds[0]], times(reflected, 1.22), 0.035)
    curtains = [(s0, s0 + (s1 - s0) * 0.22, h0, h1) for s0, s1, h0, h1 in kinds[1]]
    wall.rects(curtains, (206, 198, 184), 0.035)
    bars = [
        (s0 + (s1 - s0) * (i + 1) / (mullions + 1) - 0.035, s0 + (s1 - s0) * (i + 1) / (mullions + 1) + 0.035, h0, h1)
        for s0, s1, h0, h1 in boxes
        for i in range(mullions)
    ]
    wall.rects(bars, frame, 0.04)


def _grid(
    length: float, low: float, high: float, bay: float, floor: float, pane: tuple[float, float], sill_m: float
) -> list[Box]:
    """Windows of `pane` (width, height) in bays along and floors up a wall."""
    bays = max(1, int(length / bay))
    floors = int((high - low) / floor)
    step = length / bays
    return [
        (
            step * (i + 0.5) - pane[0] / 2,
            step * (i + 0.5) + pane[0] / 2,
            low + f * floor + sill_m,
            low + f * floor + sill_m + pane[1],
        )
        for f in range(floors)
        for i in range(bays)
    ]


def _town(wall: Wall, height: float, thing: Thing, dice: Dice) -> None:
    """Plastered old-town front: tall framed windows, a cornice, a base or shops."""
    colour = thing.colour
    wall.surface(((0, 0), (wall.length, 0), (wall.length, height), (0, height)), colour, "plaster")
    pale = mix(colour, (244, 240, 230), 0.65)
    wall.rect(0, wall.length, height - 0.45, height, pale, 0.15)
    shop = "shop" in thing.parts
    base = 3.9 if shop else 0.9
    wall.rect(0, wall.length, 0, 0.9, times(mix(colour, (120, 112, 104), 0.6), 0.8), 0.03)
    floor = dice.between(3.0, 3.4)
    if wall.px_per_m() > 5:
        bands = [
            (0.0, wall.length, base + f * floor - 0.12, base + f * floor + 0.04)
            for f in range(int((height - base) / floor))
        ]
        wall.rects(bands, pale, 0.05)
        wall.rects([(0.0, 0.35, 0, height - 0.4), (wall.length - 0.35, wall.length, 0, height - 0.4)], pale, 0.02)
    boxes = _grid(wall.length, base, height - 0.5, dice.between(2.1, 2.7), floor, (1.05, 1.75), 0.75)
    _windows(wall, boxes, dice, (238, 234, 226), 1, pale)
    shutters = dice.chance(0.3)
    if shutters and wall.px_per_m() > 6:
        tint = dice.pick(((70, 100, 80), (110, 70, 50), (70, 86, 110)))
        wall.rects([(s0 - 0.62, s0 - 0.14, h0, h1) for s0, _, h0, h1 in boxes], tint, 0.04)
        wall.rects([(s1 + 0.14, s1 + 0.62, h0, h1) for _, s1, h0, h1 in boxes], tint, 0.04)
    if shop:
        _shopfront(wall, dice.child("shop"), 3.3)
    else:
        _doors(wall, dice, 2.4)


def _modern(wall: Wall, height: float, thing: Thing, dice: Dice) -> None:
    """Flats and offices: slabs and bands of glass."""
    manner = dice.weighted({"grid": 3.0, "ribbon": 2.0, "curtain": 2.0, "balcony": 2.0})
    texture = dice.pick(("plaster", "brick", "blocks", "concrete"))
    colour = mix((70, 92, 110), wall.canvas.light.sky_low, 0.25) if manner == "curtain" else thing.colour
    wall.surface(
        ((0, 0), (wall.length, 0), (wall.length, height), (0, height)), colour, None if manner == "curtain" else texture
    )
    base = 4.2 if "shop" in thing.parts else 1.0
    floor = dice.between(3.1, 3.7)
    wall.rect(0, wall.length, height - 0.5, height, times(colour, 0.82), 0.05)
    if manner == "curtain":
        boxes = _grid(wall.length, base, height - 0.5, 1.6, floor, (1.45, floor - 0.35), 0.3)
        _windows(wall, boxes, dice, times(colour, 0.8), 0, None)
    elif manner == "ribbon":
        boxes = _grid(wall.length, base, height - 0.5, 3.2, floor, (3.0, 1.6), 0.95)
        _windows(wall, boxes, dice, times(colour, 0.7), 2, None)
    else:
        boxes = _grid(wall.length, base, height - 0.5, dice.between(2.8, 3.6), floor, (1.7, 1.6), 0.9)
        _windows(wall, boxes, dice, (206, 206, 204), 1, times(colour, 0.86))
        if manner == "balcony" and wall.px_per_m() > 4:
            _balconies(wall, boxes[::2], dice)
    if "shop" in thing.parts:
        _shopfront(wall, dice.child("shop"), 3.5)
    else:
        _doors(wall, dice, 2.6)


def _balconies(wall: Wall, boxes: list[Box], dice: Dice) -> None:
    slab = [(s0 - 0.5, s1 + 0.5, h0 - 1.05, h0 - 0.88) for s0, s1, h0, _ in boxes]
    rail = [(s0 - 0.5, s1 + 0.5, h0 - 0.88, h0 + 0.12) for s0, s1, h0, _ in boxes]
    tint = dice.pick(((70, 76, 84), (190, 196, 200), (120, 92, 70)))
    wall.rects([(s0, s1, h0 - 0.5, h0) for s0, s1, h0, _ in slab], _under_ledge(wall), 0.04)
    wall.rects(rail, tint, 0.9)
    wall.rects([(s0, s1, h1 - 0.07, h1) for s0, s1, _, h1 in rail], times(tint, 1.3), 0.92)
    wall.rects(slab, (196, 192, 184), 0.95)


def _under_ledge(wall: Wall) -> RGB:
    """The colour under a ledge."""
    return mix((60, 60, 66), wall.canvas.light.haze, 0.1)


def _bazaar(wall: Wall, height: float, thing: Thing, dice: Dice) -> None:
    """A low shop house of a warm country: shutters, sunshades, stains, bare parapet."""
    colour = thing.colour
    wall.surface(((0, 0), (wall.length, 0), (wall.length, height), (0, height)), colour, "plaster")
    for _ in range(6):
        s = dice.between(0, max(0.1, wall.length - 0.6))
        drop = dice.between(0.8, 2.6)
        wall.polygon(
            ((s, height), (s + dice.between(0.2, 0.7), height), (s + 0.3, height - drop)), times(colour, 0.84), 0.01
        )
    boxes = _grid(wall.length, 3.6, height - 0.6, dice.between(2.4, 3.4), 3.1, (1.2, 1.3), 0.9)
    _windows(wall, boxes, dice, dice.pick(((84, 110, 96), (120, 84, 58), (210, 206, 196))), 2, None)
    wall.rects([(s0 - 0.3, s1 + 0.3, h1 + 0.12, h1 + 0.26) for s0, s1, _, h1 in boxes], (200, 190, 172), 0.5)
    wall.rects([(s0 - 0.3, s1 + 0.3, h1 - 0.2, h1 + 0.1) for s0, s1, _, h1 in boxes], times(colour, 0.7), 0.02)
    wall.rect(0, wall.length, height - 0.9, height - 0.75, times(colour, 1.15), 0.05)
    if dice.chance(0.6):
        rail = [(0.15 + i * 0.6, 0.22 + i * 0.6, 3.7, 4.5) for i in range(int(wall.length / 0.6))]
        wall.rects(rail, (90, 84, 80), 0.6)
        wall.rect(0, wall.length, 4.5, 4.58, (90, 84, 80), 0.6)
        wall.rect(0, wall.length, 3.45, 3.7, (190, 182, 168), 0.6)
    if "shop" in thing.parts:
        bays = max(1, int(wall.length / 3.4))
        step = wall.length / bays
        for bay in range(bays):
            s0, s1 = bay * step + 0.3, (bay + 1) * step - 0.3
            if dice.chance(0.45):
                tint = dice.pick(((96, 118, 140), (120, 124, 124), (84, 116, 96), (150, 110, 84)))
                wall.rect(s0, s1, 0.1, 2.5, tint, 0.02)
                wall.rects([(s0, s1, 0.2 + 0.24 * i, 0.27 + 0.24 * i) for i in range(9)], times(tint, 0.8), 0.03)
            else:
                wall.rect(s0, s1, 0.1, 2.5, (42, 36, 34), 0.02)
                wall.rects(
                    [
                        (s0 + 0.1 + 0.5 * i, s0 + 0.45 + 0.5 * i, 0.5, dice.between(1.0, 2.1))
                        for i in range(int((s1 - s0) / 0.55))
                    ],
                    dice.pick(SIGN_COLOURS),
                    0.03,
                )
    else:
        _doors(wall, dice, 2.2)


def _house(wall: Wall, height: float, thing: Thing, dice: Dice) -> None:
    """A family house: a door, a few windows, siding or brick."""
    texture = "planks" if thing.seed % 3 else "brick"
    wall.surface(((0, 0), (wall.length, 0), (wall.length, height), (0, height)), thing.colour, texture)
    trim: RGB = (240, 238, 232)
    wall.rect(0, wall.length, height - 0.25, height, trim, 0.2)
    wall.rect(0, wall.length, 0, 0.4, (132, 126, 120), 0.02)
    if "garage" in thing.parts:
        wall.rect(0.5, wall.length - 0.5, 0.05, 2.3, trim, 0.02)
        wall.rects([(0.6, wall.length - 0.6, 0.1 + 0.55 * i, 0.6 + 0.55 * i) for i in range(4)], (206, 204, 200), 0.03)
        return
    boxes = [box for box in _grid(wall.length, 0.4, height, 2.7, 2.8, (1.3, 1.35), 0.8) if box[3] < height - 0.3]
    door = dice.whole(0, max(0, int(wall.length / 2.7) - 1))
    boxes = [box for i, box in enumerate(boxes) if i != door]
    _windows(wall, boxes, dice, trim, 1, trim)
    if wall.px_per_m() > 5 and dice.chance(0.6):
        tint = dice.pick(((60, 72, 92), (92, 44, 40), (52, 84, 66)))
        wall.rects([(s0 - 0.5, s0 - 0.12, h0, h1) for s0, _, h0, h1 in boxes], tint, 0.03)
        wall.rects([(s1 + 0.12, s1 + 0.5, h0, h1) for _, s1, h0, h1 in boxes], tint, 0.03)
    middle = wall.length * (door + 0.5) / max(1, int(wall.length / 2.7))
    wall.rect(middle - 0.65, middle + 0.65, 0.3, 2.65, trim, 0.03)
    wall.rect(
        middle - 0.5, middle + 0.5, 0.3, 2.5, dice.pick(((120, 48, 40), (44, 70, 96), (84, 62, 44), (40, 84, 66))), 0.05
    )


def _hall(wall: Wall, height: float, thing: Thing, dice: Dice) -> None:
    """A warehouse: sheet metal, gates, a strip of windows."""
    wall.surface(((0, 0), (wall.length, 0), (wall.length, height), (0, height)), thing.colour, "planks")
    wall.rect(0, wall.length, height - 0.8, height, times(thing.colour, 0.7), 0.05)
    wall.rect(0, wall.length, 0, 1.0, (150, 146, 140), 0.03)
    gates = max(1, int(wall.length / 9))
    for gate in range(gates):
        middle = wall.length * (gate + 0.5) / gates
        wall.rect(middle - 1.9, middle + 1.9, 0, 3.9, (206, 206, 202), 0.04)
        wall.rects([(middle - 1.9, middle + 1.9, 0.6 * i, 0.6 * i + 0.06) for i in range(1, 7)], (150, 150, 150), 0.05)
    boxes = _grid(wall.length, height - 3.0, height - 1.0, 2.2, 2.0, (1.9, 0.9), 0.6)
    _windows(wall, boxes, dice, (120, 122, 124), 0, None)


def _doors(wall: Wall, dice: Dice, high: float) -> None:
    count = max(1, int(wall.length / 9))
    for i in range(count):
        middle = wall.length * (i + dice.between(0.3, 0.7)) / count
        wall.rect(middle - 0.75, middle + 0.75, 0, high + 0.15, (226, 220, 208), 0.04)
        tint = dice.pick(((74, 52, 40), (46, 66, 58), (60, 62, 70), (104, 60, 44)))
        wall.rect(middle - 0.6, middle + 0.6, 0, high, tint, 0.06)
        wall.rect(middle - 0.4, middle + 0.4, high * 0.55, high * 0.9, GLASS, 0.07)


def _shopfront(wall: Wall, dice: Dice, high: float) -> None:
    """Display windows along the street, with doors between them."""
    bays = max(1, int(wall.length / 4.2))
    step = wall.length / bays
    frame: RGB = dice.pick(((48, 50, 54), (96, 68, 46), (226, 224, 218), (40, 66, 60)))
    wall.rect(0, wall.length, 0, high, frame, 0.05)
    inside = mix((60, 58, 56), (214, 180, 130), 0.25 + 0.5 * wall.canvas.light.night)
    panes, doors = [], []
    for bay in range(bays):
        s0, s1 = bay * step + 0.2, (bay + 1) * step - 0.2
        panes.append((s0, s1 - 1.2, 0.45, high - 0.75))
        doors.append((s1 - 1.0, s1, 0.05, high - 0.75))
    night = wall.canvas.light.night > 0
    wall.rects(panes, inside, 0.06, glowing=night)
    wall.rects(doors, times(inside, 0.75), 0.06, glowing=night)
    wall.rects(
        [(s0, s1, h0 + (h1 - h0) * 0.62, h1) for s0, s1, h0, h1 in panes],
        mix(inside, wall.canvas.light.sky_low, 0.3),
        0.065,
    )
    goods = [
        (s0 + 0.2 + 0.6 * i, s0 + 0.55 + 0.6 * i, 0.5, dice.between(0.9, 1.5))
        for s0, s1, _, _ in panes
        for i in range(int((s1 - s0) / 0.7))
    ]
    wall.rects(goods, dice.pick(((196, 150, 110), (150, 170, 180), (190, 110, 96), (220, 214, 200))), 0.07)
    if wall.canvas.light.night:
        for s0, s1, _, h1 in panes:
            where = wall.world(np.array([(s0 + s1) / 2, h1 / 2]), 0.6)
            wall.canvas.glow((float(where[0]), float(where[1]), float(where[2])), 1.6, (190, 150, 100))
    if dice.chance(0.45):
        _awning(wall, dice, high - 0.75)


def _awning(wall: Wall, dice: Dice, high: float) -> None:
    """Striped cloth sloping out over the pavement."""
    tint: RGB = dice.pick(((170, 46, 42), (40, 96, 78), (50, 80, 140), (206, 150, 60)))
    stripes = max(2, int(wall.length / 0.5))
    step = wall.length / stripes
    for i in range(stripes):
        s0, s1 = i * step, (i + 1) * step
        top = wall.world(np.array([(s0, high), (s1, high)]), 0.1)
        low = wall.world(np.array([(s1, high - 0.7), (s0, high - 0.7)]), 1.2)
        colour = tint if i % 2 else (236, 230, 216)
        wall.canvas.face(np.concatenate([top, low]), wall.shade(times(colour, 1.05)))
        hem = wall.world(np.array([(s0, high - 0.7), (s1, high - 0.7), (s1, high - 0.92), (s0, high - 0.92)]), 1.2)
        wall.canvas.face(hem, wall.shade(times(colour, 0.85)))


def _shop_signs(wall: Wall, thing: Thing, dice: Dice) -> None:
    """Name boards over the shop windows: their own concept."""
    canvas = wall.canvas
    bays = max(1, int(wall.length / 5.0))
    step = wall.length / bays
    low = 2.65 if thing.variant == "bazaar" else 2.75
    concept = "store sign" if wall.depth < 70 else "far signage"
    for bay in range(bays):
        if not dice.chance(0.85):
            continue
        s0, s1 = bay * step + 0.25, (bay + 1) * step - 0.25
        tall = dice.between(0.55, 0.95) if thing.variant == "bazaar" else 0.6
        board: RGB = dice.pick(SIGN_COLOURS)
        ink: RGB = (34, 34, 38) if sum(board) > 450 else (244, 238, 222)
        with canvas.solid(concept, thing.seed + bay + 1):
            wall.rect(s0, s1, low, low + tall, board, 0.16)
        if wall.px_per_m() > 5:
            text = dice.pick(SHOP_NAMES)
            wide = min(s1 - s0 - 0.4, len(text) * tall * 0.55)
            wall.rects(letter_boxes(text, (s0 + s1 - wide) / 2, low + tall * 0.2, tall * 0.6, wide), ink, 0.18)


FACADES: dict[str, Callable[[Wall, float, Thing, Dice], None]] = {
    "town": _town,
    "modern": _modern,
    "bazaar": _bazaar,
    "house": _house,
    "hall": _hall,
}

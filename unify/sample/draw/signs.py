"""Signs for traffic, and everything else that is put up to be read."""

from __future__ import annotations

from collections.abc import Sequence

from unify.sample.camera import RGB
from unify.sample.canvas import Canvas
from unify.sample.dice import Dice
from unify.sample.draw.kit import circle, column, times, tube
from unify.sample.draw.lettering import SHOP_NAMES, letter_boxes
from unify.sample.draw.panels import light_on
from unify.sample.draw.poles import post, signal
from unify.sample.scene import Thing

WHITE: RGB = (238, 238, 234)
RED: RGB = (200, 34, 38)
BLUE: RGB = (28, 78, 168)
BLACK: RGB = (28, 28, 32)
YELLOW: RGB = (244, 190, 44)
GREEN: RGB = (22, 116, 84)
GREY: RGB = (152, 155, 158)

Outline = tuple[tuple[float, float], ...]  # across, up, in half sizes

ROUND: Outline = circle(20)
SQUARE: Outline = ((-1, -1), (1, -1), (1, 1), (-1, 1))
TRIANGLE: Outline = ((-1, -0.78), (1, -0.78), (0, 0.95))
YIELD: Outline = ((-1, 0.78), (1, 0.78), (0, -0.95))
OCTAGON: Outline = ((-1, -0.42), (-0.42, -1), (0.42, -1), (1, -0.42), (1, 0.42), (0.42, 1), (-0.42, 1), (-1, 0.42))
DIAMOND: Outline = ((-1.1, 0), (0, -1.1), (1.1, 0), (0, 1.1))

#: variant -> (concept, outline, layers of (scale, colour), word)
PLATES: dict[str, tuple[str, Outline, tuple[tuple[float, RGB], ...], str]] = {
    "limit": ("sign", ROUND, ((1.0, RED), (0.76, WHITE)), "50"),
    "no entry": ("sign", ROUND, ((1.0, WHITE), (0.94, RED)), "-"),
    "mandatory": ("sign", ROUND, ((1.0, WHITE), (0.94, BLUE)), "A"),
    "warning": ("sign", TRIANGLE, ((1.0, RED), (0.7, WHITE)), "I"),
    "yield": ("sign", YIELD, ((1.0, RED), (0.68, WHITE)), ""),
    "stop": ("sign", OCTAGON, ((1.0, WHITE), (0.93, RED)), "STOP"),
    "priority": ("sign", DIAMOND, ((1.0, WHITE), (0.72, YELLOW)), ""),
    "hazard": ("sign", DIAMOND, ((1.0, BLACK), (0.92, YELLOW)), "Y"),
    "crossing": ("sign", SQUARE, ((1.0, WHITE), (0.92, BLUE)), "A"),
    "parking": ("parking sign", SQUARE, ((1.0, WHITE), (0.92, BLUE)), "P"),
    "roadworks": ("temporary sign", TRIANGLE, ((1.0, RED), (0.7, (244, 206, 60))), "K"),
    "detour": ("temporary sign", SQUARE, ((1.0, BLACK), (0.92, (242, 140, 36))), "U"),
}

BACKS: dict[str, str] = {"sign": "sign back", "parking sign": "sign back", "temporary sign": "temporary sign back"}


def plate(canvas: Canvas, thing: Thing, centre: tuple[float, float, float], half: float, variant: str) -> None:
    """One sign plate; seen from behind where the thing heads away from the camera."""
    concept, outline, layers, word = PLATES[variant]
    away = thing.heading[1] > 0
    if thing.z > 62 and not away:
        concept = "far sign"
    x, y, z = centre

    def face(scale: float, colour: RGB) -> None:
        canvas.face(
            [(x + u * half * scale, y + v * half * scale, z) for u, v in outline],
            canvas.tone(colour, 0.0, (0, 0.2, -0.95)),
        )

    with canvas.solid(BACKS.get(concept, concept) if away else concept, thing.seed + int(y * 10)):
        face(1.0, GREY if away else layers[0][1])
    if away:
        face(0.86, times(GREY, 0.9))
        for dy in (-0.4, 0.4):
            tube(
                canvas,
                (x - half * 0.7, y + dy * half, z - 0.01),
                (x + half * 0.7, y + dy * half, z - 0.01),
                0.05,
                0.05,
                light_on((110, 112, 116), canvas),
            )
        return
    for scale, colour in layers[1:]:
        face(scale, colour)
    if word and canvas.size_px(half, z) > 4:
        ink = BLACK if layers[-1][1] in (WHITE, YELLOW, (244, 206, 60), (242, 140, 36)) else WHITE
        text = f"{3 + thing.seed % 7}0" if word == "50" else word
        _word(canvas, text, x, y - half * 0.36, z - 0.01, half * 0.72, min(half * 1.3, half * 0.62 * len(text)), ink)


def _word(canvas: Canvas, text: str, x: float, low: float, z: float, tall: float, wide: float, colour: RGB) -> None:
    tone = canvas.tone(colour, 0.0, (0, 0.2, -0.95))
    for x0, x1, y0, y1 in letter_boxes(text, x - wide / 2, low, tall, wide):
        canvas.face([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)], tone)


def paint_sign(canvas: Canvas, thing: Thing) -> None:
    """A traffic sign on its pole; `variant` names the upper plate, `parts` any below it."""
    if thing.z < 2.2:
        return
    tall, half = thing.size[1], thing.size[0] / 2
    if "no pole" not in thing.parts:
        post(canvas, thing, "pole", tall + half * 0.3, 0.075)
    y = thing.y + tall - half
    z = thing.z - 0.06 if thing.heading[1] < 0 else thing.z + 0.06
    for variant in (thing.variant, *(part for part in thing.parts if part in PLATES)):
        plate(canvas, thing, (thing.x, y, z), half, variant)
        y -= 2 * half * 1.08
    if thing.heading[1] > 0 and "no pole" not in thing.parts:
        column(
            canvas,
            thing.x,
            thing.z - 0.02,
            thing.y + tall - 2.2 * half,
            thing.y + tall,
            0.075,
            canvas.concepts["pole"].colour,
        )


def board(
    canvas: Canvas,
    concept: str,
    thing: int,
    corners: tuple[float, float, float, float],
    z: float,
    colour: RGB,
    rim: RGB | None = None,
) -> None:
    """A flat board facing the camera: (x0, x1, y0, y1)."""
    x0, x1, y0, y1 = corners

    def rectangle(inset: float) -> list[tuple[float, float, float]]:
        return [
            (x0 + inset, y0 + inset, z),
            (x1 - inset, y0 + inset, z),
            (x1 - inset, y1 - inset, z),
            (x0 + inset, y1 - inset, z),
        ]

    normal: RGB = (0, 0.15, -0.95)
    with canvas.solid(concept, thing):
        canvas.face(rectangle(0.0), rim or colour, normal)
    if rim is not None:
        canvas.face(rectangle(0.07), colour, normal)


def lines_of_text(
    canvas: Canvas,
    dice: Dice,
    corners: tuple[float, float, float, float],
    z: float,
    rows: int,
    ink: RGB,
    words: Sequence[str],
) -> None:
    x0, x1, y0, y1 = corners
    step = (y1 - y0) / (rows + 0.6)
    if canvas.size_px(step, z) < 4:
        return
    for row in range(rows):
        text = dice.pick(words)
        wide = min((x1 - x0) * 0.8, len(text) * step * 0.5)
        low = y1 - (row + 1) * step
        _word(canvas, text, x0 + (x1 - x0) * 0.12 + wide / 2, low, z, step * 0.6, wide, ink)


PLACES = ("CITY", "NORTH 12", "AIRPORT", "A 38", "PORT", "BRUCK 4", "EXIT 21", "OLDTOWN", "MARKT", "LAKE 9")


def paint_direction(canvas: Canvas, thing: Thing) -> None:
    """A big direction board on two posts; its back where the thing heads away."""
    if thing.z < 4:
        return
    dice = Dice(thing.seed)
    wide, tall, _ = thing.size
    top = thing.y + tall
    high = wide * 0.5
    for side in (-0.36, 0.36):
        with canvas.solid("pole", thing.seed + int(side * 10)):
            column(canvas, thing.x + side * wide, thing.z, thing.y, top, 0.13, canvas.concepts["pole"].colour)
    corners = (thing.x - wide / 2, thing.x + wide / 2, top - high, top)
    if thing.heading[1] > 0:
        board(canvas, "direction sign back", thing.seed, corners, thing.z, GREY)
        for i in range(3):
            y = top - high * (0.2 + 0.3 * i)
            tube(
                canvas,
                (corners[0], y, thing.z - 0.05),
                (corners[1], y, thing.z - 0.05),
                0.08,
                0.08,
                light_on((108, 110, 114), canvas),
            )
        return
    direction_board(canvas, thing.seed, corners, thing.z - 0.1, thing.colour, dice)


def direction_board(
    canvas: Canvas, seed: int, corners: tuple[float, float, float, float], z: float, colour: RGB, dice: Dice
) -> None:
    """The readable face: places and an arrow."""
    ink = BLACK if sum(colour) > 520 else WHITE
    board(canvas, "direction sign", seed, corners, z, colour, ink)
    x0, x1, y0, y1 = corners
    lines_of_text(canvas, dice, (x0, x1 - (x1 - x0) * 0.22, y0, y1), z - 0.02, 3, ink, PLACES)
    ax, ay, size = x1 - (x1 - x0) * 0.14, (y0 + y1) / 2, (y1 - y0) * 0.3
    tone = canvas.tone(ink, 0.0, (0, 0.15, -0.95))
    arrow = ((-0.22, -1), (0.22, -1), (0.22, 0.1), (0.7, 0.1), (0, 1), (-0.7, 0.1), (-0.22, 0.1))
    canvas.face([(ax + u * size * 0.6, ay + v * size, z - 0.02) for u, v in arrow], tone)


def paint_gantry(canvas: Canvas, thing: Thing) -> None:
    """A frame over the whole road that carries boards ("boards") or lane signals ("lanes")."""
    if thing.z < 6:
        return
    dice = Dice(thing.seed)
    wide, tall, _ = thing.size
    x0, x1, top = thing.x - wide / 2, thing.x + wide / 2, thing.y + tall
    steel = canvas.concepts["traffic sign frame"].colour
    lit = canvas.tone(steel, 0.0)
    with canvas.solid("traffic sign frame", thing.seed):
        for x in (x0, x1):
            column(canvas, x, thing.z, thing.y, top + 0.9, 0.34, steel)
        for y in (top, top + 0.9):
            tube(canvas, (x0, y, thing.z), (x1, y, thing.z), 0.16, 0.16, lit)
        bays = 14
        for i in range(bays):
            a, b = x0 + wide * i / bays, x0 + wide * (i + 1) / bays
            tube(
                canvas,
                (a, top + (0.9 if i % 2 else 0), thing.z),
                (b, top + (0 if i % 2 else 0.9), thing.z),
                0.07,
                0.07,
                lit,
            )
    lanes = max(2, int(wide / 5))
    for i in range(lanes):
        x = x0 + wide * (i + 0.5) / lanes
        if thing.variant == "lanes":
            signal(
                canvas,
                Thing(
                    "traffic light", x, thing.z, (0.6, 1, 0), thing.seed + 31 * i, heading=(0.0, -1.0), variant="lane"
                ),
                x,
                top + 0.1,
            )
        elif i % 2 == 0 or dice.chance(0.5):
            half = wide / lanes * 0.42
            direction_board(
                canvas,
                thing.seed + 7 + i,
                (x - half, x + half, top - 0.9, top + 1.3),
                thing.z - 0.25,
                thing.colour,
                dice,
            )


def paint_billboard(canvas: Canvas, thing: Thing) -> None:
    """Advertising on legs ("big"), a lit column at the kerb ("city"), an information stele ("info"),
    a stand ("stand"), or a hoarding seen from behind ("back")."""
    if thing.z < 3:
        return
    dice = Dice(thing.seed)
    wide, tall, _ = thing.size
    x, z = thing.x, thing.z
    corners = (x - wide / 2, x + wide / 2, thing.y + tall * 0.5, thing.y + tall)
    concept = {"info": "information board", "stand": "other signage", "back": "billboard back"}.get(
        thing.variant, "billboard"
    )
    if thing.variant in ("big", "back"):
        for side in (-0.3, 0.3):
            with canvas.solid("pole", thing.seed + 3 + int(side * 10)):
                column(canvas, x + side * wide, z, thing.y, corners[2] + 0.1, 0.2, canvas.concepts["pole"].colour)
    elif thing.variant == "info":
        corners = (x - wide / 2, x + wide / 2, thing.y + 0.15, thing.y + tall)
    elif thing.variant == "stand":
        corners = (x - wide / 2, x + wide / 2, thing.y + 0.05, thing.y + tall)
    else:
        corners = (x - wide / 2, x + wide / 2, thing.y + 0.5, thing.y + tall)
        column(canvas, x, z, thing.y, thing.y + 0.55, wide * 0.5, (70, 72, 76))
    if thing.variant == "back":
        board(canvas, concept, thing.seed, corners, z, (118, 112, 106))
        wood = light_on((84, 78, 72), canvas)
        for i in range(5):
            bx = corners[0] + wide * (i + 0.5) / 5
            tube(canvas, (bx, corners[2], z - 0.05), (bx, corners[3], z - 0.05), 0.12, 0.12, wood)
        return
    board(
        canvas,
        concept,
        thing.seed,
        corners,
        z,
        thing.colour,
        (214, 212, 206) if thing.variant in ("big", "city") else times(thing.colour, 0.6),
    )
    _poster(canvas, corners, z - 0.03, thing, dice)
    if canvas.light.night and thing.variant in ("big", "city"):
        canvas.glow((x, (corners[2] + corners[3]) / 2, z), wide * 0.4, (150, 150, 160))


def _poster(canvas: Canvas, corners: tuple[float, float, float, float], z: float, thing: Thing, dice: Dice) -> None:
    """A picture and a word: enough to look like print."""
    x0, x1, y0, y1 = corners
    wide, high = x1 - x0, y1 - y0
    normal: RGB = (0, 0.15, -0.95)
    if thing.variant in ("info", "stand"):
        lines_of_text(
            canvas, dice, (x0, x1, y0 + high * 0.45, y1), z, 3, WHITE if sum(thing.colour) < 420 else BLACK, SHOP_NAMES
        )
        canvas.face(
            [
                (x0 + wide * 0.12, y0 + high * 0.1, z),
                (x1 - wide * 0.12, y0 + high * 0.1, z),
                (x1 - wide * 0.12, y0 + high * 0.4, z),
                (x0 + wide * 0.12, y0 + high * 0.4, z),
            ],
            (206, 214, 190),
            normal,
        )
        return
    tint: RGB = dice.pick(((226, 80, 60), (50, 120, 180), (240, 190, 60), (70, 150, 110), (150, 70, 140)))
    cx, cy = x0 + wide * dice.between(0.28, 0.4), y0 + high * 0.52
    canvas.face(
        [
            (x0 + 0.1, y0 + 0.1, z),
            (x1 - 0.1, y0 + 0.1, z),
            (x1 - 0.1, y0 + high * 0.42, z),
            (x0 + 0.1, y0 + high * 0.28, z),
        ],
        tint,
        normal,
    )
    radius = min(wide, high) * 0.26
    canvas.face([(cx + u * radius, cy + v * radius, z - 0.01) for u, v in circle(18)], times(tint, 0.75), normal)
    canvas.face(
        [(cx + u * radius * 0.6, cy + v * radius * 0.6, z - 0.02) for u, v in circle(14)], (246, 226, 196), normal
    )
    lines_of_text(
        canvas, dice, (x0 + wide * 0.45, x1, y0 + high * 0.4, y1), z - 0.02, 2 if wide > 2 else 1, BLACK, SHOP_NAMES
    )

"""What stands on poles: street lights, traffic lights, wires, cameras, banners."""

from __future__ import annotations

import itertools

from unify.sample.camera import RGB
from unify.sample.canvas import Canvas
from unify.sample.dice import Dice
from unify.sample.draw.kit import circle, column, times, tube
from unify.sample.draw.panels import light_on
from unify.sample.scene import Thing

RED: RGB = (250, 44, 36)
AMBER: RGB = (255, 182, 40)
GREEN: RGB = (40, 232, 130)


def post(canvas: Canvas, thing: Thing, concept: str, tall: float, thick: float, colour: RGB | None = None) -> None:
    """The pole itself, at the thing's place."""
    paint = colour or canvas.concepts[concept].colour
    with canvas.solid(concept, thing.seed):
        column(canvas, thing.x, thing.z, thing.y, thing.y + tall, thick, paint, canvas.sunlit(thing.x, thing.z))


def paint_street_light(canvas: Canvas, thing: Thing) -> None:
    """A lamp over the road on an arm ("arm"), on a short ornate post ("post"), or two arms ("double")."""
    if thing.z < 2:
        return
    tall = thing.size[1]
    toward = -1.0 if thing.x > 0 else 1.0
    lit = canvas.tone(canvas.concepts["street light"].colour, 0.0)
    post(canvas, thing, "pole", tall * (0.86 if thing.variant == "post" else 0.97), 0.16)
    lamp: RGB = (255, 236, 190) if canvas.light.night else (226, 226, 214)
    top = thing.y + tall
    if thing.variant == "post":
        with canvas.solid("street light", thing.seed):
            x, y, z = thing.x, top - 0.5, thing.z
            cage = [(x - 0.13, y, z), (x + 0.13, y, z), (x + 0.22, y + 0.42, z), (x - 0.22, y + 0.42, z)]
            canvas.face(cage, lamp if canvas.light.night else light_on(lamp, canvas))
            canvas.face([(x - 0.26, y + 0.42, z), (x + 0.26, y + 0.42, z), (x, y + 0.62, z)], times(lit, 0.6))
            canvas.face(
                [(x - 0.13, y, z), (x - 0.02, y, z), (x - 0.06, y + 0.42, z), (x - 0.22, y + 0.42, z)], times(lit, 0.9)
            )
        canvas.glow((thing.x, top - 0.3, thing.z), 2.0, (255, 214, 150))
        return
    for side in (-1.0, 1.0) if thing.variant == "double" else (toward,):
        end = (thing.x + side * 1.9, top + 0.15, thing.z)
        with canvas.solid("street light", thing.seed + int(side)):
            tube(canvas, (thing.x, top - 0.4, thing.z), end, 0.1, 0.08, lit)
            head = [
                (end[0] - side * 0.15, end[1] + 0.06, thing.z),
                (end[0] + side * 0.62, end[1] + 0.05, thing.z),
                (end[0] + side * 0.58, end[1] - 0.08, thing.z),
                (end[0] - side * 0.1, end[1] - 0.1, thing.z),
            ]
            canvas.face(head, lit)
            glass = [
                (end[0] + side * 0.04, end[1] - 0.09, thing.z),
                (end[0] + side * 0.54, end[1] - 0.07, thing.z),
                (end[0] + side * 0.5, end[1] - 0.13, thing.z),
                (end[0] + side * 0.08, end[1] - 0.14, thing.z),
            ]
            canvas.face(glass, lamp if canvas.light.night else light_on(lamp, canvas))
        canvas.glow((end[0] + side * 0.3, end[1] - 0.2, thing.z), 2.2, (255, 206, 130))
        canvas.glow((end[0] + side * 0.3, thing.y + 0.2, thing.z), 4.6, (150, 112, 64))


def paint_pole(canvas: Canvas, thing: Thing) -> None:
    """A bare pole; `variant` pole, bollard, utility (wooden, with cross arms) or group (several, as one)."""
    if thing.z < 1.6:
        return
    tall, thick = thing.size[1], thing.size[0]
    sunlit = canvas.sunlit(thing.x, thing.z)
    if thing.variant == "group":
        with canvas.solid("pole group", thing.seed, True):
            for i in range(4):
                column(
                    canvas,
                    thing.x + 0.34 * i,
                    thing.z + 0.1 * i,
                    thing.y,
                    thing.y + tall * (1 - 0.08 * i),
                    thick,
                    thing.colour,
                    sunlit,
                )
        return
    if thing.variant == "bollard":
        post(canvas, thing, "bollard", tall, thick, thing.colour)
        tube(
            canvas,
            (thing.x, thing.y + tall * 0.72, thing.z),
            (thing.x, thing.y + tall * 0.86, thing.z),
            thick,
            thick,
            light_on((230, 226, 214), canvas),
        )
        return
    if thing.variant != "utility":
        post(canvas, thing, "pole", tall, thick, thing.colour)
        return
    with canvas.solid("utility pole", thing.seed):
        column(canvas, thing.x, thing.z, thing.y, thing.y + tall, thick, thing.colour, sunlit)
        wood = canvas.tone(times(thing.colour, 0.8), 0.0)
        for drop in (0.35, 1.1):
            tube(
                canvas,
                (thing.x - 0.95, thing.y + tall - drop, thing.z),
                (thing.x + 0.95, thing.y + tall - drop, thing.z),
                0.13,
                0.13,
                wood,
            )
        if thing.seed % 2:
            tube(
                canvas,
                (thing.x + 0.3, thing.y + tall - 2.6, thing.z),
                (thing.x + 0.3, thing.y + tall - 1.6, thing.z),
                0.5,
                0.5,
                light_on((120, 124, 126), canvas),
            )


def paint_wires(canvas: Canvas, thing: Thing) -> None:
    """Wires sagging from pole to pole; too thin for any annotator, so they are no concept."""
    dark = canvas.light.fade(light_on((34, 34, 38), canvas), 20.0)
    tall = thing.size[1]
    places = [thing.z + i * thing.size[2] for i in range(8)]
    for z0, z1 in itertools.pairwise(places):
        for dx in (-0.85, 0.0, 0.85) if "utility" in thing.parts else (0.0,):
            last = None
            for step in range(9):
                share = step / 8
                sag = 0.55 * 4 * share * (1 - share)
                point = (thing.x + dx, tall - 0.3 - sag, z0 + (z1 - z0) * share)
                if last is not None and last[2] > 2:
                    tube(canvas, last, point, 0.02, 0.02, dark)
                last = point


def paint_traffic_light(canvas: Canvas, thing: Thing) -> None:
    """A signal on a pole. `variant`: upright, horizontal, single, pedestrian, cyclist, lane;
    `parts` may name "arm" (over the road), "bare" (no pole of its own) and the lamp that is lit."""
    if thing.z < 2.5:
        return
    tall = thing.size[1]
    toward = -1.0 if thing.x > 0 else 1.0
    arm = thing.size[2] if "arm" in thing.parts else 0.0
    if "bare" not in thing.parts:
        with canvas.solid("pole", thing.seed):
            column(
                canvas,
                thing.x,
                thing.z,
                thing.y,
                thing.y + tall + (0.2 if arm else -0.2),
                0.14,
                canvas.concepts["pole"].colour,
            )
            if arm:
                beam = canvas.tone(canvas.concepts["pole"].colour, 0.0)
                tube(
                    canvas,
                    (thing.x, thing.y + tall + 0.1, thing.z),
                    (thing.x + toward * arm, thing.y + tall + 0.3, thing.z),
                    0.14,
                    0.09,
                    beam,
                )
    x = thing.x + toward * arm * 0.94
    signal(canvas, thing, x, thing.y + tall - (0.1 if arm else 0.0))
    if arm and "second" in thing.parts:
        signal(canvas, thing, thing.x, thing.y + 2.6)


#: variant -> (concept, columns, rows, lamp radius in metres)
SIGNALS: dict[str, tuple[str, int, int, float]] = {
    "upright": ("traffic light", 1, 3, 0.13),
    "horizontal": ("horizontal traffic light", 3, 1, 0.13),
    "single": ("single traffic light", 1, 1, 0.15),
    "pedestrian": ("pedestrian light", 1, 2, 0.13),
    "cyclist": ("cyclist light", 1, 3, 0.08),
    "lane": ("lane light", 1, 1, 0.3),
}


def signal(canvas: Canvas, thing: Thing, x: float, y: float) -> None:
    """The head of a traffic light, its top at (x, y); from behind where the thing heads away."""
    concept, columns, rows, radius = SIGNALS[thing.variant]
    dice = Dice(thing.seed, "lamp")
    wide, high = columns * radius * 2.35, rows * radius * 2.35
    z = thing.z - 0.12
    away = thing.heading[1] > 0
    case = canvas.tone(canvas.concepts[concept].colour, 0.0)
    with canvas.solid(concept, thing.seed + int(abs(x) * 100)):
        canvas.face(
            [(x - wide / 2, y - high, z), (x + wide / 2, y - high, z), (x + wide / 2, y, z), (x - wide / 2, y, z)], case
        )
        if columns * rows == 3 and radius > 0.1 and not away and thing.seed % 3 == 0:  # a back plate with a bright rim
            rim = canvas.tone((206, 206, 196), 0.0)
            m = 0.1
            canvas.face(
                [
                    (x - wide / 2 - m, y - high - m, z + 0.02),
                    (x + wide / 2 + m, y - high - m, z + 0.02),
                    (x + wide / 2 + m, y + m, z + 0.02),
                    (x - wide / 2 - m, y + m, z + 0.02),
                ],
                rim,
            )
            canvas.face(
                [(x - wide / 2, y - high, z), (x + wide / 2, y - high, z), (x + wide / 2, y, z), (x - wide / 2, y, z)],
                case,
            )
    if away:
        canvas.face(
            [
                (x - wide * 0.2, y - high * 0.8, z),
                (x + wide * 0.2, y - high * 0.8, z),
                (x + wide * 0.2, y - high * 0.2, z),
                (x - wide * 0.2, y - high * 0.2, z),
            ],
            times(case, 1.5),
        )
        return
    if thing.variant == "lane":
        tone: RGB = GREEN if dice.chance(0.5) else RED
        for dx in (-1, 1):
            tube(
                canvas,
                (x - dx * radius * 0.7, y - high * 0.8, z - 0.01),
                (x + dx * radius * 0.7, y - high * 0.2, z - 0.01),
                0.1,
                0.1,
                tone,
            )
        canvas.glow((x, y - high / 2, z), 0.8, tone)
        return
    count = columns * rows
    burning = dice.weighted({0: 4.0, count - 1: 4.0, 1 % count: 0.8})
    tones = (RED, GREEN) if count == 2 else (RED, AMBER, GREEN) if count == 3 else (AMBER,)
    for i in range(count):
        at = (
            x - wide / 2 + (i + 0.5) * wide / columns if columns > 1 else x,
            y - (i + 0.5) * high / rows if rows > 1 else y - high / 2,
            z - 0.02,
        )
        on = i == burning
        tint = tones[i] if on else light_on(times(tones[i], 0.22), canvas)
        canvas.face([(at[0] + u * radius, at[1] + v * radius, at[2]) for u, v in circle(14)], tint)
        if on:
            if canvas.size_px(radius, z) > 3:
                canvas.face(
                    [(at[0] + u * radius * 0.5, at[1] + v * radius * 0.5, at[2]) for u, v in circle(10)],
                    (255, 250, 226),
                )
            canvas.glow(at, 0.7, tint)
        if canvas.size_px(radius, z) > 3:  # the visor over each lamp
            hood = [
                (at[0] + u * radius * 1.12, at[1] + abs(v) * radius * 1.12, z - 0.1)
                for u, v in circle(12)
                if v >= -0.01
            ]
            inner = [
                (at[0] + u * radius, at[1] + abs(v) * radius * 0.86, z - 0.1)
                for u, v in reversed(circle(12))
                if v >= -0.01
            ]
            canvas.face([*hood, *inner], times(case, 0.8))


def paint_cctv(canvas: Canvas, thing: Thing) -> None:
    """A camera on a pole: a white box on a bracket, or a dome."""
    if thing.z < 2:
        return
    tall = thing.size[1]
    toward = -1.0 if thing.x > 0 else 1.0
    white = canvas.tone(canvas.concepts["cctv camera"].colour, 0.0)
    x, y, z = thing.x + toward * 0.4, thing.y + tall - 0.1, thing.z
    with canvas.solid("pole", thing.seed):
        column(canvas, thing.x, z, thing.y, thing.y + tall, 0.13, canvas.concepts["pole"].colour)
        tube(canvas, (thing.x, y, z), (x, y, z), 0.06, 0.06, white)
    with canvas.solid("cctv camera", thing.seed):
        if thing.seed % 2:
            canvas.face(
                [
                    (x - 0.1, y - 0.02, z),
                    (x + toward * 0.5, y - 0.12, z),
                    (x + toward * 0.5, y - 0.34, z),
                    (x - 0.1, y - 0.24, z),
                ],
                white,
            )
            canvas.face(
                [
                    (x + toward * 0.42, y - 0.12, z),
                    (x + toward * 0.54, y - 0.13, z),
                    (x + toward * 0.54, y - 0.34, z),
                    (x + toward * 0.42, y - 0.33, z),
                ],
                times(white, 0.3),
            )
        else:
            canvas.face([(x - 0.22, y, z), (x + 0.22, y, z), (x + 0.22, y - 0.18, z), (x - 0.22, y - 0.18, z)], white)
            canvas.face([(x + u * 0.2, y - 0.18 + min(0.0, v) * 0.26, z) for u, v in circle(14)], times(white, 0.25))


def paint_banner(canvas: Canvas, thing: Thing) -> None:
    """Cloth over the street between two poles ("across"), or hung from a pole ("flag")."""
    if thing.z < 4:
        return
    dice = Dice(thing.seed)
    wide, tall, _ = thing.size
    lit = canvas.tone(thing.colour, 0.0)
    if thing.variant == "across":
        top = thing.y + 6.4
        steps = 10
        edge = [
            (thing.x - wide / 2 + wide * i / steps, top - 0.5 * 4 * (i / steps) * (1 - i / steps), thing.z)
            for i in range(steps + 1)
        ]
        rope = light_on((60, 60, 60), canvas)
        tube(canvas, (thing.x - wide * 0.9, top + 0.5, thing.z), edge[0], 0.05, 0.05, rope)
        tube(canvas, edge[-1], (thing.x + wide * 0.9, top + 0.5, thing.z), 0.05, 0.05, rope)
        with canvas.solid("banner", thing.seed):
            canvas.face([*edge, *((x, y - tall, z) for x, y, z in reversed(edge))], lit)
        for i in range(2, steps - 1):
            x, y, z = edge[i]
            canvas.face(
                [
                    (x, y - tall * 0.3, z),
                    (x + wide * 0.05, y - tall * 0.3, z),
                    (x + wide * 0.05, y - tall * 0.7, z),
                    (x, y - tall * 0.7, z),
                ],
                light_on((244, 240, 226), canvas),
            )
        return
    post(canvas, thing, "pole", 5.2, 0.12)
    side = -1.0 if thing.x > 0 else 1.0
    x0, x1, top = thing.x + side * 0.1, thing.x + side * 0.95, thing.y + 5.0
    wave = dice.between(-0.1, 0.1)
    with canvas.solid("banner", thing.seed):
        canvas.face(
            [
                (x0, top, thing.z),
                (x1, top, thing.z),
                (x1 + wave, top - 1.2, thing.z),
                (x1, top - 2.3, thing.z),
                (x0, top - 2.3, thing.z),
            ],
            lit,
        )
        canvas.face(
            [
                (x0, top - 0.6, thing.z),
                (x1 + wave / 2, top - 0.6, thing.z),
                (x1 + wave, top - 1.1, thing.z),
                (x0, top - 1.1, thing.z),
            ],
            light_on((240, 236, 224), canvas),
        )

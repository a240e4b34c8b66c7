"""Vehicles on four wheels: cars, vans, pickups, and what is built like them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from unify.sample.camera import RGB
from unify.sample.canvas import Canvas
from unify.sample.dice import Dice
from unify.sample.draw.ground import ground_contact
from unify.sample.draw.kit import Frame, Local, circle, disc, mix, prism, sees, times
from unify.sample.draw.panels import LAMP_RED, LAMP_WHITE, TYRE, light_on
from unify.sample.scene import Thing

RIM: RGB = (150, 152, 156)

Profile = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Body:
    """A car's side view, rear at the left, in shares of its length (-0.5..0.5) and height (0..1)."""

    hull: Profile
    cabin: tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]
    wheels: tuple[float, float]
    wheel_m: float
    split: tuple[float, ...] = (0.5,)  # where side windows are parted


BODIES: dict[str, Body] = {
    "sedan": Body(
        (
            (-0.485, 0.13),
            (-0.5, 0.42),
            (-0.485, 0.64),
            (-0.33, 0.68),
            (0.2, 0.66),
            (0.44, 0.55),
            (0.5, 0.40),
            (0.49, 0.13),
        ),
        ((-0.39, 0.66), (-0.23, 0.98), (0.06, 1.0), (0.24, 0.65)),
        (-0.3, 0.31),
        0.32,
        (0.5,),
    ),
    "hatch": Body(
        (
            (-0.48, 0.13),
            (-0.5, 0.42),
            (-0.49, 0.62),
            (-0.3, 0.64),
            (0.22, 0.63),
            (0.44, 0.52),
            (0.5, 0.38),
            (0.485, 0.13),
        ),
        ((-0.485, 0.62), (-0.4, 0.97), (0.08, 1.0), (0.27, 0.62)),
        (-0.32, 0.32),
        0.31,
        (0.52,),
    ),
    "estate": Body(
        (
            (-0.485, 0.13),
            (-0.5, 0.42),
            (-0.49, 0.64),
            (-0.3, 0.66),
            (0.2, 0.65),
            (0.44, 0.54),
            (0.5, 0.40),
            (0.49, 0.13),
        ),
        ((-0.485, 0.64), (-0.42, 0.97), (0.07, 1.0), (0.25, 0.64)),
        (-0.3, 0.31),
        0.32,
        (0.38, 0.7),
    ),
    "suv": Body(
        (
            (-0.485, 0.17),
            (-0.5, 0.42),
            (-0.49, 0.6),
            (-0.3, 0.62),
            (0.2, 0.61),
            (0.46, 0.55),
            (0.5, 0.42),
            (0.49, 0.17),
        ),
        ((-0.485, 0.6), (-0.44, 0.98), (0.06, 1.0), (0.22, 0.61)),
        (-0.3, 0.31),
        0.37,
        (0.36, 0.68),
    ),
    "van": Body(
        (
            (-0.49, 0.12),
            (-0.5, 0.3),
            (-0.495, 0.52),
            (-0.3, 0.52),
            (0.33, 0.5),
            (0.47, 0.42),
            (0.5, 0.32),
            (0.49, 0.12),
        ),
        ((-0.495, 0.5), (-0.485, 1.0), (0.22, 1.0), (0.37, 0.5)),
        (-0.31, 0.33),
        0.34,
        (0.3, 0.66),
    ),
    "pickup": Body(
        ((-0.485, 0.2), (-0.5, 0.4), (-0.495, 0.6), (-0.12, 0.6), (0.22, 0.61), (0.46, 0.55), (0.5, 0.43), (0.49, 0.2)),
        ((-0.12, 0.6), (-0.09, 0.98), (0.1, 1.0), (0.24, 0.61)),
        (-0.31, 0.33),
        0.39,
        (0.5,),
    ),
}


def paint_car(canvas: Canvas, thing: Thing) -> None:
    """A car-like vehicle; `variant` is a key of `BODIES`, `parts` may name "closed" (no side windows)."""
    if thing.z < 3.2:
        return
    body = BODIES[thing.variant]
    concept = {"van": "van", "pickup": "pickup"}.get(thing.variant, "car")
    sunlit = canvas.sunlit(thing.x, thing.z)
    ground_contact(canvas, thing)
    frame = Frame.of(thing)
    with canvas.solid("vehicle group" if "group" in thing.parts else concept, thing.seed, "group" in thing.parts):
        _underside(canvas, frame, thing, body)
        _hull(canvas, frame, thing, body, sunlit)
        _cabin(canvas, frame, thing, body, sunlit)
        wheels(canvas, frame, thing, tuple(w * thing.size[2] for w in body.wheels), body.wheel_m)
    _ends(canvas, frame, thing, body, concept, sunlit)


def _underside(canvas: Canvas, frame: Frame, thing: Thing, body: Body) -> None:
    """The dark between the wheels, and the tyres as seen from before or behind."""
    width, height, length = thing.size
    low = body.hull[0][1] * height
    half = width / 2 - 0.06
    dark: RGB = (16, 16, 18)
    for end in (-0.46, 0.46):
        if sees(canvas, frame, (1.0 if end > 0 else -1.0, 0, 0), (end * length, 0, 0)):
            a = end * length
            canvas.face(
                frame.at([(a, -half, 0.16), (a, half, 0.16), (a, half, low + 0.1), (a, -half, low + 0.1)]), dark
            )
            a = 0.36 * length * (1 if end > 0 else -1)
            for b0, b1 in ((-half, -half + 0.2), (half - 0.2, half)):
                canvas.face(frame.at([(a, b0, 0.0), (a, b1, 0.0), (a, b1, low + 0.1), (a, b0, low + 0.1)]), TYRE)
    for side in (-1.0, 1.0):
        if sees(canvas, frame, (0, side, 0), (0, side * half, 0)):
            b = side * half
            canvas.face(
                frame.at(
                    [
                        (-0.45 * length, b, 0.1),
                        (0.45 * length, b, 0.1),
                        (0.45 * length, b, low + 0.1),
                        (-0.45 * length, b, low + 0.1),
                    ]
                ),
                dark,
            )


def _hull(canvas: Canvas, frame: Frame, thing: Thing, body: Body, sunlit: float) -> None:
    width, height, length = thing.size
    half = width / 2
    profile = [(a * length, c * height) for a, c in body.hull]
    prism(canvas, frame, profile, (-half, half), thing.colour, sunlit)
    for side in (-1.0, 1.0):  # a lighter shoulder and a darker sill give the flank its form
        if not sees(canvas, frame, (0, side, 0), (0, side * half, 0.5)):
            continue
        b = side * half
        belt, mid, sill = body.hull[3][1] * height, body.hull[3][1] * height * 0.72, profile[0][1]
        normal = frame.normal(0, side, 0)
        bright = times(thing.colour, 1.16)
        canvas.face(
            frame.at(
                [(-0.485 * length, b, mid), (0.44 * length, b, mid), (0.2 * length, b, belt), (-0.46 * length, b, belt)]
            ),
            bright,
            normal,
            sunlit,
        )
        dark = times(thing.colour, 0.66)
        canvas.face(
            frame.at(
                [
                    (-0.48 * length, b, sill),
                    (0.48 * length, b, sill),
                    (0.46 * length, b, sill * 1.35),
                    (-0.46 * length, b, sill * 1.35),
                ]
            ),
            dark,
            normal,
            sunlit,
        )
        if canvas.size_px(0.1, thing.z) > 1.6:
            for a in (0.17, -0.06, -0.24) if "closed" not in thing.parts else (0.17, -0.02):
                line = [
                    (a * length, b, sill * 1.3),
                    (a * length + 0.025, b, sill * 1.3),
                    (a * length + 0.025, b, belt),
                    (a * length, b, belt),
                ]
                canvas.face(frame.at(line), times(thing.colour, 0.55), normal, sunlit)
                handle = [
                    (a * length - 0.3, b, mid + 0.06),
                    (a * length - 0.12, b, mid + 0.06),
                    (a * length - 0.12, b, mid + 0.1),
                    (a * length - 0.3, b, mid + 0.1),
                ]
                canvas.face(frame.at(handle), times(thing.colour, 0.7), normal, sunlit)


def _cabin(canvas: Canvas, frame: Frame, thing: Thing, body: Body, sunlit: float) -> None:
    """The upper part, narrower at the roof, with its windows set in."""
    width, height, length = thing.size
    (ar, cr), (art, crt), (aft, cft), (af, cf) = ((a * length, c * height) for a, c in body.cabin)
    low, top = width / 2 * 0.94, width / 2 * (0.90 if thing.variant == "van" else 0.76)
    paint = thing.colour
    light = canvas.light
    glass = mix((26, 32, 38), light.sky_low, 0.22)
    upper = mix((26, 32, 38), light.sky_low, 0.45)
    quads = (
        ("rear", (-1.0, 0.0, 0.35), [(ar, -low, cr), (ar, low, cr), (art, top, crt), (art, -top, crt)]),
        ("front", (1.0, 0.0, 0.7), [(af, low, cf), (af, -low, cf), (aft, -top, cft), (aft, top, cft)]),
        ("left", (0.0, -1.0, 0.2), [(af, -low, cf), (ar, -low, cr), (art, -top, crt), (aft, -top, cft)]),
        ("right", (0.0, 1.0, 0.2), [(ar, low, cr), (af, low, cf), (aft, top, cft), (art, top, crt)]),
        ("roof", (0.0, 0.0, 1.0), [(art, -top, crt), (art, top, crt), (aft, top, cft), (aft, -top, cft)]),
    )
    seen = [quad for quad in quads if sees(canvas, frame, quad[1], quad[2][0])]
    seen.sort(key=lambda quad: quad[0] in ("left", "right"))
    for name, normal, corners in seen:
        canvas.face(frame.at(corners), times(paint, 0.96), frame.normal(*normal), sunlit)
        if name == "roof" or canvas.size_px(0.3, thing.z) < 1.2:
            continue
        if name in ("left", "right"):
            if "closed" in thing.parts:
                front = [
                    _between(corners, *uv)
                    for uv in (
                        ((0.06, 0.12), (0.26, 0.12), (0.26, 0.86), (0.12, 0.86))
                        if name == "left"
                        else ((0.74, 0.12), (0.94, 0.12), (0.88, 0.86), (0.74, 0.86))
                    )
                ]
                canvas.face(frame.at(front), light_on(glass, canvas))
                continue
            cuts = (
                (0.05, *body.split, 0.95) if name == "right" else (0.05, *(1 - s for s in reversed(body.split)), 0.95)
            )
            for left, right in itertools.pairwise(cuts):
                pane = [
                    _between(corners, left + 0.02, 0.1),
                    _between(corners, right - 0.02, 0.1),
                    _between(corners, right - 0.02, 0.86),
                    _between(corners, left + 0.02, 0.86),
                ]
                canvas.face(frame.at(pane), light_on(glass, canvas))
                canvas.face(
                    frame.at([_between(corners, left + 0.02, 0.55), *pane[1:2], pane[2], pane[3]]),
                    light_on(upper, canvas),
                )
        elif not ("closed" in thing.parts and name == "rear"):
            pane = [
                _between(corners, 0.06, 0.08),
                _between(corners, 0.94, 0.08),
                _between(corners, 0.92, 0.9),
                _between(corners, 0.08, 0.9),
            ]
            canvas.face(frame.at(pane), light_on(glass, canvas))
            canvas.face(
                frame.at([_between(corners, 0.06, 0.5), _between(corners, 0.94, 0.3), pane[2], pane[3]]),
                light_on(upper, canvas),
            )
            if name == "rear" and canvas.size_px(0.3, thing.z) > 3:  # head rests
                for u in (0.28, 0.72):
                    rest = [
                        _between(corners, u - 0.07, 0.1),
                        _between(corners, u + 0.07, 0.1),
                        _between(corners, u + 0.06, 0.5),
                        _between(corners, u - 0.06, 0.5),
                    ]
                    canvas.face(frame.at(rest), light_on((24, 24, 28), canvas))


def _between(corners: list[tuple[float, float, float]], u: float, v: float) -> tuple[float, float, float]:
    """A point inside a quad: u along its first edge, v up to the opposite one."""
    low = [a + (b - a) * u for a, b in zip(corners[0], corners[1], strict=True)]
    high = [a + (b - a) * u for a, b in zip(corners[3], corners[2], strict=True)]
    along, across, up = (a + (b - a) * v for a, b in zip(low, high, strict=True))
    return (along, across, up)


def wheels(
    canvas: Canvas, frame: Frame, thing: Thing, places: tuple[float, ...], radius: float, rim: RGB = RIM
) -> None:
    """The wheels on the side that is seen."""
    half = thing.size[0] / 2
    for side in (-1.0, 1.0):
        if not sees(canvas, frame, (0, side, 0), (0, side * half, radius)):
            continue
        for a in places:
            b = side * (half + 0.005)
            arch = [(a + u * radius * 1.22, b, radius + v * radius * 1.22) for u, v in circle(16) if v > -0.4]
            canvas.face(frame.at(arch), (18, 18, 20))
            disc(canvas, frame, (a, b + side * 0.01, radius), radius, TYRE, corners=18)
            if canvas.size_px(radius, thing.z) > 3:
                disc(canvas, frame, (a, b + side * 0.015, radius), radius * 0.64, light_on(rim, canvas), corners=14)
                disc(
                    canvas,
                    frame,
                    (a, b + side * 0.02, radius),
                    radius * 0.5,
                    light_on(times(rim, 0.55), canvas),
                    corners=12,
                )
                for u, v in circle(5):
                    _spoke(canvas, frame, (a, b + side * 0.03, radius), (u, v), radius * 0.58, light_on(rim, canvas))


def _spoke(canvas: Canvas, frame: Frame, hub: Local, towards: tuple[float, float], length: float, colour: RGB) -> None:
    """A bar from a wheel's hub to its rim."""
    (a, b, c), (u, v), half = hub, towards, 0.03
    ends = ((0.0, -half), (0.0, half), (length, half), (length, -half))
    canvas.face(frame.at((a + r * u - s * v, b, c + r * v + s * u) for r, s in ends), colour)


def _ends(canvas: Canvas, frame: Frame, thing: Thing, body: Body, concept: str, sunlit: float) -> None:
    """Lamps, plates, grille: whichever end is seen."""
    width, height, length = thing.size
    half = width / 2
    dice = Dice(thing.seed, "ends")
    night = canvas.light.night
    rear_hi, front_hi = body.hull[2][1] * height, body.hull[5][1] * height
    mid = body.hull[1][1] * height
    if sees(canvas, frame, (-1, 0, 0.1), (-length / 2, 0, mid)):
        a = -length * 0.502
        red = (255, 60, 48) if dice.chance(0.3) or night else LAMP_RED
        for side in (-1, 1):
            b0, b1 = side * half * 0.97, side * half * 0.68
            canvas.face(
                frame.at(
                    [
                        (a, b0, mid + 0.04),
                        (a, b1, mid + 0.04),
                        (a * 0.985, b1, rear_hi - 0.04),
                        (a * 0.985, b0, rear_hi - 0.03),
                    ]
                ),
                light_on(red, canvas),
            )
            if night:
                canvas.glow(frame.point(a, side * half * 0.8, mid + 0.1), 0.35, (255, 60, 40))
        low = body.hull[0][1] * height
        bumper = [
            (a * 1.003, -half * 0.96, low),
            (a * 1.003, half * 0.96, low),
            (a * 1.003, half * 0.98, mid - 0.06),
            (a * 1.003, -half * 0.98, mid - 0.06),
        ]
        canvas.face(frame.at(bumper), times(thing.colour, 0.78), frame.normal(-1, 0, 0), sunlit)
        canvas.face(
            frame.at(
                [
                    (a * 1.004, -half * 0.7, low),
                    (a * 1.004, half * 0.7, low),
                    (a * 1.004, half * 0.66, low + 0.12),
                    (a * 1.004, -half * 0.66, low + 0.12),
                ]
            ),
            (34, 34, 36),
            frame.normal(-1, 0, 0),
        )
        plate(
            canvas, frame, thing, a * 1.006, (mid - 0.02) if thing.variant != "pickup" else mid - 0.1, concept, sunlit
        )
    if sees(canvas, frame, (1, 0, 0.1), (length / 2, 0, mid)):
        a = length * 0.502
        lamp = (255, 250, 230) if night else LAMP_WHITE
        for side in (-1, 1):
            b0, b1 = side * half * 0.97, side * half * 0.6
            canvas.face(
                frame.at(
                    [
                        (a * 0.985, b0, mid + 0.02),
                        (a, b1, mid),
                        (a * 0.985, b1, front_hi - 0.03),
                        (a * 0.95, b0, front_hi - 0.01),
                    ]
                ),
                light_on(lamp, canvas),
            )
            if night:
                canvas.glow(frame.point(a, side * half * 0.8, mid), 0.8, (255, 244, 214))
        low = body.hull[0][1] * height
        canvas.face(
            frame.at(
                [
                    (a, -half * 0.5, mid - 0.05),
                    (a, half * 0.5, mid - 0.05),
                    (a, half * 0.56, mid + 0.12),
                    (a, -half * 0.56, mid + 0.12),
                ]
            ),
            (30, 31, 34),
            frame.normal(1, 0, 0),
        )
        canvas.face(
            frame.at(
                [
                    (a * 1.003, -half * 0.8, low),
                    (a * 1.003, half * 0.8, low),
                    (a * 1.003, half * 0.74, low + 0.14),
                    (a * 1.003, -half * 0.74, low + 0.14),
                ]
            ),
            (32, 32, 34),
            frame.normal(1, 0, 0),
        )
        plate(canvas, frame, thing, a * 1.006, low + 0.16, concept, sunlit)


def plate(canvas: Canvas, frame: Frame, thing: Thing, a: float, c: float, concept: str, sunlit: float) -> None:
    """A licence plate. Only cars and vans carry one: what is under it is a car to every annotator."""
    if canvas.size_px(0.11, thing.z) < 1.0:
        return
    corners = frame.at([(a, -0.26, c), (a, 0.26, c), (a, 0.26, c + 0.12), (a, -0.26, c + 0.12)])
    white: RGB = (238, 204, 70) if "yellow plate" in thing.parts else (236, 236, 230)
    facing = frame.normal(1.0 if a > 0 else -1.0, 0, 0)
    if concept in ("car", "van") and "group" not in thing.parts:
        with canvas.solid("licence plate", thing.seed):
            canvas.face(corners, white, facing, sunlit)
    else:
        canvas.face(corners, white, facing, sunlit)
    if canvas.size_px(0.11, thing.z) > 3:
        for i in range(6):
            b = -0.19 + 0.065 * i + (0.02 if i > 2 else 0)
            canvas.face(
                frame.at(
                    [
                        (a * 1.001, b, c + 0.03),
                        (a * 1.001, b + 0.035, c + 0.03),
                        (a * 1.001, b + 0.035, c + 0.09),
                        (a * 1.001, b, c + 0.09),
                    ]
                ),
                (50, 50, 56),
                facing,
                sunlit,
            )

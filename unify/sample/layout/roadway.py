"""The ground of a street: carriageway, kerbs and pavements, lines, crossings, side streets."""

from __future__ import annotations

from unify.sample.camera import RGB
from unify.sample.layout.glyphs import ARROWS, shark_teeth
from unify.sample.layout.street import FAR_M, Street

Z0 = 0.2  # where the ground starts


def lay_out(street: Street) -> None:
    """Fix the cross-section and put down the ground of both sides."""
    kind, dice = street.kind, street.dice
    street.lane0 = {"tram": 3.3, "median": 1.3, "barrier": 0.9}.get(kind.centre, 0.0)
    lanes = street.lane0 + kind.lanes * kind.lane_m
    for side in (-1, 1):
        street.bike[side] = dice.chance(kind.bike)
        street.parking[side] = dice.chance(kind.parking)
    bike_m = 1.7 if any(street.bike.values()) else 0.0
    parking_m = 2.3 if any(street.parking.values()) else 0.0
    shoulder_m = 2.2 if kind.shoulder else 0.0
    street.kerb = lanes + bike_m + parking_m + shoulder_m
    street.walk = street.kerb + kind.walk_m
    street.front = street.walk + kind.verge_m
    base = "snow" if street.snow else kind.base
    street.strip(base, -400, 400, Z0, FAR_M * 2)
    for side in (-1, 1):
        _side(street, side, lanes, bike_m, parking_m)
    texture = kind.surface or None
    colour: RGB | None = (134, 128, 120) if kind.surface == "cobbles" else None
    street.strip("road", -lanes, lanes, Z0, FAR_M, colour=colour, texture=texture)
    if not kind.surface:
        _wear(street, lanes)
    _centre(street)


def _wear(street: Street, lanes: float) -> None:
    """Wheel tracks, seams and mended places: still road, of another grey."""
    dice, kind = street.dice, street.kind
    tone = dice.between(98, 102)
    track: RGB = (tone, tone - 1, tone + 2)
    for side in (-1, 1):
        for index in range(kind.lanes):
            for wheel in (-0.8, 0.8):
                x = street.lane(side, index) + wheel
                street.strip("road", x - 0.28, x + 0.28, Z0, FAR_M, colour=track)
            x = street.lane(side, index)
            street.strip("road", x - 0.2, x + 0.2, Z0, FAR_M, colour=(tone + 2, tone + 1, tone + 2))
    for _ in range(dice.whole(1, 4)):
        x, z = dice.between(-lanes + 1, lanes - 1), dice.between(5.0, 34.0)
        grey = dice.pick((78.0, 86.0, 116.0))
        wide, long = dice.between(0.5, 1.3), dice.between(1.0, 6.0)
        street.strip("road", x - wide, x + wide, z, z + long, colour=(grey, grey, grey + 2))
    if dice.chance(0.6):
        x = street.lane(1, 0) + kind.lane_m / 2 - 0.02
        street.strip("road", x - 0.03, x + 0.03, Z0, FAR_M, colour=(62, 61, 62))


def _side(street: Street, side: int, lanes: float, bike_m: float, parking_m: float) -> None:
    kind = street.kind

    def strip(
        concept: str,
        x0: float,
        x1: float,
        z0: float = Z0,
        z1: float = FAR_M,
        *,
        colour: RGB | None = None,
        texture: str | None = None,
    ) -> None:
        street.strip(concept, side * x0, side * x1, z0, z1, colour=colour, texture=texture)

    if kind.verge_m:
        verge = "snow" if street.snow else "grass" if kind.base in ("grass", "sidewalk") else kind.base
        strip(verge, street.walk, street.front)
    if kind.walk_m:
        texture = "cobbles" if kind.surface == "cobbles" else None
        strip("sidewalk", street.kerb, street.walk, texture=texture)
    strip(
        "road",
        lanes,
        street.kerb,
        colour=(134, 128, 120) if kind.surface == "cobbles" else None,
        texture=kind.surface or None,
    )
    x = lanes
    if bike_m:
        strip(
            "bike lane" if street.bike[side] else "road",
            x,
            x + bike_m,
            colour=None if street.bike[side] else (108, 107, 109),
        )
        if street.bike[side]:
            strip("solid line", x - 0.06, x + 0.06)
        x += bike_m
    if parking_m:
        if street.parking[side]:
            strip("parking lane", x, x + parking_m)
            bays = tuple(
                (
                    (side * x, z),
                    (side * (x + parking_m - 0.1), z),
                    (side * (x + parking_m - 0.1), z + 0.1),
                    (side * x, z + 0.1),
                )
                for z in _steps(4.0, 90.0, 6.0)
            )
            if street.dice.chance(0.6):
                street.patch("parking bay line", *bays)
                strip("parking bay line", x - 0.06, x + 0.04)
        x += parking_m
    if kind.shoulder:
        concept = "snow" if street.snow and kind.shoulder == "dirt" else kind.shoulder
        strip(concept, x, street.kerb)
        if kind.shoulder == "road shoulder":
            strip("solid line", x - 0.1, x + 0.06)
    if kind.walk_m and not kind.shoulder:
        strip("curb", street.kerb - 0.02, street.kerb + 0.12, colour=(146, 143, 138))
        strip("curb", street.kerb + 0.12, street.kerb + 0.32)
        if street.snow:
            strip("snow", street.kerb - 0.5, street.kerb + 0.15, 12.0, 40.0)


def _steps(low: float, high: float, step: float) -> list[float]:
    return [low + step * i for i in range(int((high - low) / step))]


def _centre(street: Street) -> None:
    """What parts the directions, and the lines between lanes."""
    kind = street.kind
    line = "yellow line" if street.region.yellow_centre else "solid line"
    half = street.lane0
    if kind.centre == "dashed":
        if street.region.yellow_centre:
            for x in (-0.16, 0.06):
                street.strip("yellow line", x, x + 0.1, Z0, FAR_M)
        else:
            dashes(street, 0.0)
    elif kind.centre == "solid":
        for x in (-0.15, 0.05):
            street.strip(line, x, x + 0.1, Z0, FAR_M)
    elif kind.centre == "tram":
        for x in (-1.65, 1.65):
            tram_track(street, x)
        for x in (-half, half):
            street.strip("solid line", x - 0.06, x + 0.06, Z0, FAR_M)
    elif kind.centre == "median":
        street.strip("road median", -half, half, Z0, FAR_M)
        street.strip("curb", -half - 0.2, -half, Z0, FAR_M)
        street.strip("curb", half, half + 0.2, Z0, FAR_M)
        street.strip("snow" if street.snow else "grass", -half + 0.35, half - 0.35, 6.0, FAR_M)
    elif kind.centre == "barrier":
        street.strip("road median", -half, half, Z0, FAR_M)
        for x in (-half - 0.15, half + 0.05):
            street.strip(line, x, x + 0.12, Z0, FAR_M)
    for side in (-1, 1):
        for index in range(1, kind.lanes):
            dashes(street, side * (half + kind.lane_m * index))


def dashes(street: Street, x: float, on: float = 3.0, off: float = 5.0, concept: str = "dashed line") -> None:
    start = street.dice.between(0.5, on + off)
    parts = [
        ((x - 0.065, z), (x + 0.065, z), (x + 0.065, z + on), (x - 0.065, z + on))
        for z in _steps(start, 130.0, on + off)
    ]
    street.patch(concept, *parts)


def tram_track(street: Street, x: float) -> None:
    """A track let into the road: a paved strip with two steel rails."""
    street.strip("tram track", x - 1.1, x + 1.1, Z0, FAR_M)
    for rail in (-0.72, 0.72):
        street.strip(
            "tram track", x + rail - 0.055, x + rail + 0.055, Z0, FAR_M, colour=(70, 68, 68), texture="concrete"
        )
        street.strip(
            "tram track", x + rail - 0.02, x + rail + 0.025, Z0, FAR_M, colour=(186, 188, 192), texture="concrete"
        )


def zebra(street: Street, z: float, deep: float = 3.2) -> None:
    """Stripes across the whole carriageway, with lowered kerbs at both ends."""
    wide = street.kerb - 0.2
    count = int(2 * wide / 1.0)
    step = 2 * wide / count
    stripes = [
        (
            (-wide + i * step, z),
            (-wide + i * step + step * 0.5, z),
            (-wide + i * step + step * 0.5, z + deep),
            (-wide + i * step, z + deep),
        )
        for i in range(count)
    ]
    street.patch("zebra stripe", *stripes)
    curb_cuts(street, z, deep)


def plain_crossing(street: Street, z: float, deep: float = 3.0) -> None:
    """A paved crossing between two lines."""
    wide = street.kerb - 0.1
    street.strip("plain crosswalk", -wide, wide, z, z + deep)
    for edge in (z - 0.15, z + deep):
        street.strip("solid line", -wide, wide, edge, edge + 0.15)
    curb_cuts(street, z, deep)


def curb_cuts(street: Street, z: float, deep: float) -> None:
    if street.kind.walk_m and not street.kind.shoulder:
        for side in (-1, 1):
            x0, x1 = side * (street.kerb - 0.02), side * (street.kerb + 1.0)
            street.patch("curb cut", ((x0, z), (x1, z + 0.4), (x1, z + deep - 0.4), (x0, z + deep)))


def stop_line(street: Street, z: float, side: int) -> None:
    """A broad line over the lanes of one direction."""
    x0, x1 = side * (street.lane0 + 0.15), side * (street.lane0 + street.kind.lanes * street.kind.lane_m - 0.1)
    street.strip("stop line", min(x0, x1), max(x0, x1), z, z + 0.4)


def crossing(street: Street, z: float, *, plain: bool, signals: bool) -> None:
    """A place to cross, with what belongs to it."""
    street.crossings.append(z)
    street.take("kerb+1", z + 1.5, 2.4)
    street.take("kerb-1", z + 1.5, 2.4)
    (plain_crossing if plain else zebra)(street, z)
    if signals:
        stop_line(street, z - 1.6, 1)
        stop_line(street, z + 4.6, -1)


def side_street(street: Street, z: float, wide: float, sides: tuple[int, ...]) -> None:
    """A road that comes in from the side: it opens the pavement and the row of buildings."""
    soft = 2.4 if street.kind.walk_m else 0.8
    for side in sides:
        street.gaps.append((side, z - soft, z + wide + soft))
        kerb, far = side * (street.kerb - 0.05), side * 150.0
        turn = side * (street.kerb + soft)
        street.patch(
            "road",
            ((kerb, z - soft), (turn, z), (far, z), (far, z + wide), (turn, z + wide), (kerb, z + wide + soft)),
            texture=street.kind.surface or None,
            colour=(134, 128, 120) if street.kind.surface == "cobbles" else None,
        )
        if street.kind.walk_m and not street.kind.shoulder:
            for end, out in ((z, -1.0), (z + wide, 1.0)):
                a = (kerb, end + out * soft)
                b = (turn, end)
                street.patch("curb", (a, b, (turn, end + out * 0.3), (kerb + side * 0.3, end + out * soft)))
                street.strip("curb", turn, far, end, end + out * 0.28)
                street.strip("sidewalk", turn, far, end + out * 0.28, end + out * 2.6)
        middle = z + wide / 2
        street.strip("dashed line", side * (street.kerb + 2.5), side * (street.kerb + 6), middle - 0.06, middle + 0.06)
        if street.dice.chance(0.6):
            teeth = shark_teeth(z + 0.4, z + wide / 2 - 0.2, 0.0)
            street.patch(
                "give way row", *(tuple((side * (street.kerb + 0.3 + q), p) for p, q in tooth) for tooth in teeth)
            )


def lane_arrows(street: Street, z: float, names: list[str]) -> None:
    """Arrows for one's own lanes, the innermost first."""
    for index, name in enumerate(names[: street.kind.lanes]):
        street.glyph(name, street.lane(1, index), z, ARROWS[name])

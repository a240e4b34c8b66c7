"""What is painted on the road or let into it."""

from __future__ import annotations

from unify.sample.layout import glyphs
from unify.sample.layout.roadway import stop_line
from unify.sample.layout.street import Street
from unify.sample.scene import TOWARDS


def turn_arrows(street: Street) -> None:
    names = [
        "left arrow",
        "right arrow",
        "other arrow",
        "straight arrow",
        "left or straight arrow",
        "right or straight arrow",
    ]
    for name in street.dice.shuffled(names)[:4]:
        place = street.paint_place(street.dice.between(6.5, 9.0), 5.4)
        if place is not None:
            street.glyph(name, *place, glyphs.ARROWS[name])


def give_way(street: Street) -> None:
    place = street.paint_place(8.0, 8.0)
    if place is None:
        return
    x, z = place[0], place[1] - 2.0
    half = street.kind.lane_m / 2 - 0.3
    street.patch("give way row", *glyphs.shark_teeth(x - half, x + half, z + 4.0))
    street.glyph("give way triangle", x, z, glyphs.give_way_triangle())
    street.put("sign", street.kerb + 0.5, z + 3.6, (0.75, 2.5, 0.1), heading=TOWARDS, variant="yield")
    street.take("kerb+1", z + 3.6, 0.8)


def stop_place(street: Street) -> None:
    place = street.paint_place(7.5, 6.0)
    if place is None:
        return
    x, z = place[0], place[1] + 2.0
    stop_line(street, z, 1)
    street.glyph("road text", x, z - 2.6, glyphs.text("STOP", 2.1, 2.4))
    street.put("sign", street.kerb + 0.5, z + 0.3, (0.75, 2.5, 0.1), heading=TOWARDS, variant="stop")
    street.take("kerb+1", z, 0.8)


def closed_wedge(street: Street) -> None:
    x = street.lane0 + street.kind.lanes * street.kind.lane_m
    z = street.dice.between(8.0, 14.0)
    room = max(1.3, min(2.2, street.kerb - x))
    x0 = street.kerb - room - 0.1
    street.patch("chevron", *glyphs.chevrons(x0, x0 + room, z, z + 12))


def hatching(street: Street) -> None:
    z = street.dice.between(7.0, 12.0)
    side = street.dice.sign()
    x1 = street.kerb - 0.1
    a, b = sorted((side * (x1 - 1.5), side * x1))
    street.patch("diagonal hatching", *glyphs.diagonals(a, b, z, z + 11))


def zigzags(street: Street) -> None:
    z = street.dice.between(6.0, 9.0)
    for x in (street.kerb - 0.5, -street.kerb + 0.5):
        street.patch("zigzag line", *glyphs.zigzag(x, z, z + 12))


def bicycle_marks(street: Street) -> None:
    x = street.lane0 + street.kind.lanes * street.kind.lane_m + 0.9 if street.bike.get(1) else street.kerb - 0.9
    for z in (8.0, 19.0, 34.0):
        street.glyph("bicycle symbol", x, z + street.dice.between(0, 3), glyphs.bicycle_symbol())


def lettering(street: Street) -> None:
    word = street.dice.pick(("BUS", "SLOW", "TAXI", "SCHOOL", "KEEP", "ONLY"))
    place = street.paint_place(street.dice.between(6.5, 8.0), 3.8)
    if place is not None:
        street.glyph("road text", *place, glyphs.text(word, 2.3, 3.0))


def speed_mark(street: Street) -> None:
    place = street.paint_place(street.dice.between(6.5, 9.0), 4.4)
    if place is not None:
        street.glyph("other symbol", *place, glyphs.ring_symbol(street.dice.pick(("30", "50", "20", "70"))))


def worn_lines(street: Street) -> None:
    """What is left of an old line, a little beside the new one."""
    dice = street.dice
    x = street.lane(1, 0) + street.kind.lane_m * dice.between(0.18, 0.34)
    bits = []
    for i in range(14):
        bumps = tuple(dice.between(0.5, 1.3) for _ in range(9))
        z = 6.5 + i * 1.15 + dice.around(0.0, 0.2)
        (bit,) = glyphs.rough_round(dice.between(0.06, 0.13), dice.between(0.25, 0.6), bumps)
        bits.append(tuple((x + u, z + v) for u, v in bit))
    street.patch("worn marking", *bits)


def iron_covers(street: Street) -> None:
    dice = street.dice
    for _ in range(3):
        street.glyph(
            "manhole",
            dice.between(-street.kerb * 0.7, street.kerb * 0.7),
            dice.between(6.5, 22.0),
            glyphs.oval(0.36, 0.36),
        )
    for _ in range(2):
        street.glyph(
            "water valve", dice.between(0.3, street.kerb - 0.5), dice.between(6.0, 13.0), glyphs.oval(0.17, 0.17)
        )
    if street.kind.walk_m:
        for side in (-1, 1):
            x = street.kerb + street.kind.walk_m * 0.5
            street.glyph(
                "sidewalk manhole",
                side * x,
                street.seen_from(x, 7.0) + dice.between(0.0, 5.0),
                glyphs.plate(0.45, 0.45),
            )


def drains(street: Street) -> None:
    for side in (-1, 1):
        for z in (0.0, 6.0, 17.0):
            x = street.kerb - 0.3
            street.glyph(
                "catch basin",
                side * x,
                street.seen_from(x, 7.0) + z + street.dice.between(0, 3),
                glyphs.plate(0.25, 0.36),
            )


def potholes(street: Street) -> None:
    dice = street.dice
    for _ in range(4):
        bumps = tuple(dice.between(0.65, 1.25) for _ in range(11))
        street.glyph(
            "pothole",
            dice.between(-street.kerb * 0.8, street.kerb * 0.8),
            dice.between(7.0, 18.0),
            glyphs.rough_round(dice.between(0.3, 0.7), dice.between(0.3, 0.6), bumps),
        )

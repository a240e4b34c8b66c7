"""Certain people, animals and vehicles."""

from __future__ import annotations

from unify.sample.layout.kerbside import NEAR, Placer
from unify.sample.layout.life import vehicle
from unify.sample.layout.street import Street
from unify.sample.scene import AHEAD, LEFT, RIGHT, SKEWED, TOWARDS


def crowd(street: Street) -> None:
    found = street.wall_place(14.0, 34.0, 1.4)
    if found is not None:
        _, x, z = found
        street.put(
            "person",
            x,
            z,
            (2.0, 1.72, 1.0),
            heading=TOWARDS,
            variant="group",
            parts=("warm",) if street.region.warm else (),
        )


def children(street: Street) -> None:
    found = street.wall_place(NEAR, 18.0, 1.2)
    if found is not None:
        side, x, z = found
        heading = street.dice.pick((AHEAD, TOWARDS))
        street.put("person", x, z, (0.5, 1.72, 0.4), heading=heading, variant="walk")
        for i in (1, 2):
            street.put(
                "person",
                x - side * 0.55 * i,
                z + 0.2 * i,
                (0.4, street.dice.between(1.0, 1.25), 0.3),
                heading=heading,
                variant="child",
            )


def pushed(part: str) -> Placer:
    """Someone with a pram, a cart, or in a wheelchair."""

    def place(street: Street) -> None:
        found = street.wall_place(NEAR, 17.0, 1.3)
        if found is not None:
            side, x, z = found
            heading = (
                LEFT if part == "cart" and side > 0 else RIGHT if part == "cart" else street.dice.pick((AHEAD, TOWARDS))
            )
            x = side * (street.kerb - 0.4) if part == "cart" else x - side * 0.3
            street.put(
                "person",
                x,
                z,
                (0.6, 1.7, 0.8),
                heading=heading,
                variant="walk",
                parts=(part, "warm") if street.region.warm else (part,),
            )

    return place


def dog(street: Street) -> None:
    found = street.kerb_place(NEAR, 15.0, 1.0)
    if found is not None:
        side, x, z = found
        street.put(
            "animal",
            x + side * 0.5,
            z,
            (0.3, 0.7, 0.9),
            colour=street.dice.pick(((120, 84, 54), (50, 44, 42), (206, 190, 160))),
            heading=street.dice.pick((LEFT, RIGHT)),
            variant="dog",
        )
        street.put(
            "person",
            x + side * 1.2,
            z + 0.3,
            (0.5, 1.72, 0.4),
            heading=street.dice.pick((LEFT, RIGHT)),
            variant="stand",
        )


def cow(street: Street) -> None:
    for _ in range(2):
        side = street.dice.sign()
        street.put(
            "animal",
            side * (street.kerb - street.dice.between(-0.8, 0.8)),
            street.seen_from(street.kerb, 8.0) + street.dice.between(0.0, 10.0),
            (0.6, 1.5, 2.2),
            colour=street.dice.pick(((206, 190, 168), (120, 88, 62), (70, 60, 56))),
            heading=street.dice.pick((LEFT, RIGHT, (0.6, 0.8))),
            variant="cow",
        )


def horse(street: Street) -> None:
    street.put(
        "animal",
        street.kerb - 0.3,
        street.dice.between(10.0, 18.0),
        (0.6, 2.3, 2.3),
        colour=street.dice.pick(((110, 70, 46), (60, 50, 46), (170, 150, 130))),
        heading=street.dice.pick((LEFT, RIGHT, AHEAD, (0.6, 0.8))),
        variant="horse",
        parts=("ridden",),
    )


def kick_scooter(street: Street) -> None:
    side = street.dice.sign()
    street.put(
        "kick scooter",
        side * (street.kerb - 0.6),
        street.dice.between(8.0, 16.0),
        (0.5, 1.8, 1.1),
        heading=AHEAD if side > 0 else TOWARDS,
    )


def birds(street: Street) -> None:
    dice = street.dice
    for _ in range(2):
        street.put(
            "bird",
            dice.around(0, 9),
            dice.between(9, 16),
            (dice.between(0.7, 1.1), 0.1, 0.1),
            colour=(60, 60, 66),
            y=dice.between(5.0, 8.0),
        )
    for _ in range(4):
        street.put(
            "bird",
            dice.between(0.5, street.walk),
            dice.between(6.5, 11.0),
            (0.4, 0.1, 0.1),
            colour=dice.pick(((110, 112, 124), (80, 80, 88), (190, 188, 186))),
            variant="ground",
        )


def towed(variant: str) -> Placer:
    """A car with something behind it."""

    def place(street: Street) -> None:
        z = street.dice.between(15.0, 23.0)
        lane = street.kind.lanes - 1
        x = street.lane(1, lane)
        length = 5.2 if variant == "caravan" else 3.2
        colour = (
            (234, 230, 218)
            if variant == "caravan"
            else street.dice.pick(((120, 124, 128), (150, 90, 60), (80, 100, 80)))
        )
        street.put(
            "trailer",
            x,
            z,
            (2.1 if variant == "caravan" else 1.6, 2.6 if variant == "caravan" else 1.7, length),
            colour=colour,
            heading=AHEAD,
            variant=variant,
        )
        street.car(x, z + length / 2 + 3.2, AHEAD, street.dice.pick(("suv", "estate")))
        street.take(f"lane+1{lane}", z + 2, 6.0)
        if street.parking.get(-1):
            street.put(
                "trailer",
                -street.kerb + 1.2,
                z + 2,
                (2.0, 2.5 if variant == "caravan" else 1.6, length),
                colour=colour,
                heading=TOWARDS,
                variant=variant,
            )
            street.take("bay-1", z + 2, 4.0)

    return place


def in_lane(name: str) -> Placer:
    """A certain vehicle close ahead, or coming."""

    def place(street: Street) -> None:
        big = name in ("bus", "truck")
        side = -1 if big and street.dice.chance(0.6) else street.dice.sign()
        z = street.dice.between(12.0, 20.0) + (7.0 if big and side > 0 else 0.0)
        vehicle(street, name, street.lane(side, street.kind.lanes - 1), z, AHEAD if side > 0 else TOWARDS)
        street.take(f"lane{side:+d}{street.kind.lanes - 1}", z, 7.0)

    return place


def tractor(street: Street) -> None:
    street.put(
        "machine",
        street.lane(-1, 0),
        street.dice.between(13.0, 22.0),
        (2.1, 2.8, 4.0),
        colour=street.dice.pick(((60, 120, 60), (180, 50, 40), (60, 96, 150))),
        heading=TOWARDS,
        variant="tractor",
    )
    street.take("lane-10", 17.0, 8.0)


def turning_car(street: Street) -> None:
    street.car(
        street.kerb * 0.2,
        street.dice.between(17.0, 24.0),
        street.dice.pick(SKEWED[2:]),
        street.dice.pick(("sedan", "hatch", "suv")),
    )
    street.take("lane+10", 20.0, 7.0)

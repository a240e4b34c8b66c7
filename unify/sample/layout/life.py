"""What moves and what lines the kerb: traffic, parked cars, people, trees, lamps."""

from __future__ import annotations

from unify.sample.draw.cycles import BIKE_COLOURS
from unify.sample.layout.street import CAR_COLOURS, CAR_SIZES, Street, leaf_colour
from unify.sample.scene import AHEAD, LEFT, RIGHT, TOWARDS, Heading

TRUCKS = ("box", "box", "tanker", "tipper", "flat")


def vehicle(street: Street, name: str, x: float, z: float, heading: Heading) -> float:
    """Any vehicle by its name; gives its length."""
    dice, region = street.dice, street.region
    warm = ("warm",) if region.warm else ()
    if name in CAR_SIZES:
        street.car(x, z, heading, name)
        return CAR_SIZES[name][2]
    if name == "truck":
        length = dice.between(7.0, 9.5)
        street.put(
            "truck",
            x,
            z,
            (2.45, dice.between(3.0, 3.6), length),
            colour=dice.pick(((206, 206, 204), (60, 96, 150), (190, 70, 50), (226, 170, 50), (70, 120, 90))),
            heading=heading,
            variant=dice.pick(TRUCKS),
        )
        return length
    if name == "bus":
        length = dice.between(10.0, 12.0)
        street.put(
            "bus",
            x,
            z,
            (2.5, 3.1, length),
            colour=dice.pick(region.bus),
            heading=heading,
            parts=("left hand",) if region.left_hand else (),
        )
        return length
    if name == "rickshaw":
        green = dice.chance(0.5)
        street.put(
            "rickshaw", x, z, (1.35, 1.8, 2.7), colour=(46, 110, 70) if green else (228, 184, 44), heading=heading
        )
        return 2.7
    if name == "motorcycle":
        parts = ["ridden", *warm] + (["pillion"] if region.warm and dice.chance(0.45) else [])
        street.put(
            "motorcycle",
            x,
            z,
            (0.7, 1.1, 2.0),
            colour=dice.pick(CAR_COLOURS),
            heading=heading,
            variant=dice.pick(("scooter", "road")),
            parts=parts,
        )
        return 2.0
    assert name == "bicycle"
    street.put(
        "bicycle", x, z, (0.6, 1.1, 1.8), colour=dice.pick(BIKE_COLOURS), heading=heading, parts=("ridden", *warm)
    )
    return 1.8


def traffic(street: Street) -> None:
    """Vehicles in the lanes, gaps as the density says; the lane one drives in is kept clear close by."""
    dice, kind = street.dice, street.kind
    for side in (1, -1):
        for index in range(kind.lanes):
            z = dice.between(9.0, 17.0) if side > 0 else dice.between(6.0, 14.0)
            while z < 110:
                if any(abs(z - c - 1.5) < 5 for c in street.crossings) or not street.free(
                    f"lane{side:+d}{index}", z, 4.0
                ):
                    z += 6
                    continue
                name = dice.weighted(street.region.vehicles)
                too_close = name in ("truck", "bus") and z < 20 and side > 0
                if too_close or (name == "bicycle" and kind.centre == "barrier"):
                    name = "hatch"
                jitter = dice.around(0, 0.3 + (0.5 if street.region.warm else 0.0))
                length = vehicle(street, name, street.lane(side, index) + jitter, z, AHEAD if side > 0 else TOWARDS)
                street.take(f"lane{side:+d}{index}", z, length / 2)
                z += length + dice.between(2.5, 38.0 / max(0.05, kind.cars) * 0.55)
    for _, a, b in street.gaps[:1]:
        if dice.chance(0.5):
            street.car(
                street.dice.sign() * (street.kerb + 5.0),
                (a + b) / 2 - 1.6,
                dice.pick((LEFT, RIGHT)),
                dice.pick(("hatch", "suv", "sedan")),
            )


def parked(street: Street) -> None:
    dice = street.dice
    for side in (1, -1):
        if not street.parking[side]:
            continue
        x = side * (street.kerb - 1.1)
        z = dice.between(5.0, 9.0) if side > 0 else dice.between(3.5, 6.0)
        while z < 95:
            name = dice.weighted({k: v for k, v in street.region.vehicles.items() if k in CAR_SIZES})
            length = CAR_SIZES[name][2]
            clear = all(abs(z - c - 1.5) > 5.5 for c in street.crossings) and not street.blocked(side, z - 3, z + 3)
            if clear and dice.chance(0.72) and street.free(f"bay{side:+d}", z, 2.6):
                parts = ("group",) if z > 48 else ()  # too far to tell one from the next
                street.car(
                    x + dice.around(0, 0.12), z, AHEAD if dice.chance(0.9) == (side > 0) else TOWARDS, name, parts=parts
                )
            z += length + dice.between(0.9, 2.0)


def greenery(street: Street) -> None:
    """Trees at the kerb, evenly set."""
    dice, kind = street.dice, street.kind
    if kind.trees < 0.05 or "tunnel" in kind.fronts:
        return
    at_kerb = {name: weight for name, weight in street.region.trees.items() if name != "conifer"} or {"slim": 1.0}
    variant = dice.weighted(at_kerb)
    for side in (1, -1):
        if kind.fronts.get("green", 0) and not kind.walk_m:
            continue
        z, step = dice.between(6.0, 13.0), dice.between(8.0, 13.0)
        x = street.kerb + 0.9 if kind.walk_m > 2.5 or not kind.verge_m else street.walk + 0.8
        while z < 120:
            if (
                dice.chance(kind.trees * 0.8)
                and not street.blocked(side, z - 2.5, z + 2.5)
                and all(abs(z - c - 1.5) > 4 for c in street.crossings)
            ):
                tall = dice.between(5.0, 8.5)
                street.put(
                    "tree",
                    side * x,
                    z,
                    (tall * dice.between(0.5, 0.68), tall, 1.0),
                    colour=leaf_colour(street),
                    variant=variant,
                )
                street.take(f"kerb{side:+d}", z, 0.7)
                if kind.walk_m > 2.5:
                    street.strip("dirt", side * (x - 0.6), side * (x + 0.6), max(0.3, z - 0.7), z + 0.7)
            z += step
    if kind.centre == "median":
        for i in range(9):
            street.put(
                "tree",
                dice.around(0, 0.3),
                9.0 + 12 * i + dice.around(0, 2),
                (2.6, 4.2, 1.0),
                colour=leaf_colour(street),
                variant="slim",
            )


def lamps(street: Street) -> None:
    dice, kind = street.dice, street.kind
    if kind.lamps == "none" and dice.chance(0.5):
        return
    step = dice.between(18.0, 26.0)
    x = street.kerb + 0.5
    if kind.lamps in ("utility", "none"):
        side = dice.sign()
        start = dice.between(7.0, 15.0)
        for i in range(6):
            z = start + i * step
            street.put("pole", side * (x + 0.4), z, (0.26, 8.2, 0.26), colour=(122, 106, 88), variant="utility")
            street.take(f"kerb{side:+d}", z, 0.5)
            if i % 2 == 0:
                street.put("street light", side * (x + 0.35), z, (0.3, 6.6, 1.0), variant="arm")
        street.put("wires", side * (x + 0.4), start - step, (1.0, 8.0, step), parts=("utility",), order=400.0)
        return
    for side in (1, -1):
        z = dice.between(8.0, 18.0)
        while z < 120:
            if street.blocked(side, z - 1, z + 1) or not street.free(f"kerb{side:+d}", z, 0.5):
                z += 1.5
                continue
            tall = 4.2 if kind.lamps == "post" else dice.between(7.2, 8.4)
            at = 0.0 if kind.lamps == "double" and kind.centre == "median" else side * x
            if at or side > 0:
                street.put("street light", at, z, (0.3, tall, 1.0), variant=kind.lamps)
            street.take(f"kerb{side:+d}", z, 0.5)
            z += step


def walkers(street: Street) -> None:
    """People on the pavements, some alone, some in twos."""
    dice, kind = street.dice, street.kind
    if kind.people <= 0:
        return
    warm = ("warm",) if street.region.warm else ()
    low, high = (
        (street.kerb + 0.6, max(street.kerb + 1.2, street.walk - 0.4))
        if kind.walk_m
        else (street.kerb - 0.8, street.kerb + 0.8)
    )
    for side in (1, -1):
        z = dice.between(6.0, 14.0)
        while z < 85:
            if not street.blocked(side, z - 1, z + 1):
                x = side * dice.between(low, high)
                heading = dice.pick((AHEAD, TOWARDS))
                for i in range(2 if dice.chance(0.25) else 1):
                    street.put(
                        "person",
                        x + side * 0.65 * i,
                        z + 0.1 * i,
                        (0.5, dice.between(1.56, 1.86), 0.4),
                        heading=heading,
                        variant="walk" if dice.chance(0.8) else "stand",
                        parts=warm,
                    )
            z += dice.between(3.0, 20.0) / max(0.1, kind.people)
    for z in street.crossings:
        for _ in range(dice.whole(0, 3)):
            street.put(
                "person",
                dice.between(-street.kerb, street.kerb),
                z + dice.between(0.6, 2.6),
                (0.5, dice.between(1.6, 1.85), 0.4),
                heading=dice.pick((LEFT, RIGHT)),
                variant="walk",
                parts=warm,
            )


def cyclists(street: Street) -> None:
    for side in (1, -1):
        if street.bike.get(side) and street.dice.chance(0.8):
            x = side * (street.lane0 + street.kind.lanes * street.kind.lane_m + 0.9)
            vehicle(street, "bicycle", x, street.dice.between(8.0, 26.0), AHEAD if side > 0 else TOWARDS)

"""Places along the street that change its ground: crossings, a level crossing, building sites, squares."""

from __future__ import annotations

from unify.sample.layout.life import vehicle
from unify.sample.layout.roadway import crossing, lane_arrows, stop_line
from unify.sample.layout.street import FAR_M, Street
from unify.sample.scene import AHEAD, LEFT, RIGHT, TOWARDS


def zebra_crossing(street: Street) -> None:
    crossing(street, street.dice.between(11.0, 24.0), plain=False, signals=False)
    if street.dice.chance(0.6):
        street.put(
            "sign", street.kerb + 0.5, street.crossings[-1] - 0.8, (0.6, 2.6, 0.1), heading=TOWARDS, variant="crossing"
        )


def paved_crossing(street: Street) -> None:
    crossing(street, street.dice.between(12.0, 26.0), plain=True, signals=False)


def signals(street: Street) -> None:
    """A crossing with lights for all: drivers, walkers, riders."""
    dice = street.dice
    z = dice.between(14.0, 24.0)
    crossing(street, z, plain=dice.chance(0.3), signals=True)
    style = street.region.light
    corner = street.kerb + 0.5
    arm = ("arm", "second") if style == "horizontal" or dice.chance(0.4) else ()
    reach = street.kerb * 0.62
    street.put(
        "traffic light", corner, z - 0.8, (0.3, 5.2 if arm else 3.3, reach), heading=TOWARDS, variant=style, parts=arm
    )
    street.put("traffic light", -corner, z - 0.8, (0.3, 3.3, reach), heading=TOWARDS, variant=style)
    street.put("traffic light", -corner, z + 4.4, (0.3, 3.3, 1.0), heading=AHEAD, variant="upright")
    for side in (-1, 1):
        street.put(
            "traffic light", side * (corner + 0.25), z + 2.4, (0.3, 2.6, 1.0), heading=TOWARDS, variant="pedestrian"
        )
    if any(street.bike.values()) or dice.chance(0.4):
        street.put("traffic light", corner + 0.5, z - 1.2, (0.3, 2.3, 1.0), heading=TOWARDS, variant="cyclist")
    for side in (-1, 1):
        street.take(f"kerb{side:+d}", z + 1.8, 4.0)
    for index in range(street.kind.lanes):
        street.take(f"paint{index}", z - 1.0, 9.0)
    if street.kind.lanes >= 2:
        lane_arrows(
            street,
            z - 7.5,
            dice.pick(
                (
                    ["left arrow", "right or straight arrow"],
                    ["left or straight arrow", "right arrow"],
                    ["straight arrow", "straight arrow"],
                )
            ),
        )
    else:
        lane_arrows(
            street, z - 6.5, [dice.pick(("straight arrow", "left or straight arrow", "right or straight arrow"))]
        )


def service_lane(street: Street) -> None:
    """A lane beside the lanes, for stopping and for buses."""
    x0, x1 = street.kerb - 2.3, street.kerb - 0.02
    street.strip("service lane", x0, x1, 0.2, FAR_M)
    street.strip("solid line", x0 - 0.08, x0 + 0.08, 0.2, FAR_M)
    street.parking[1] = False
    if street.dice.chance(0.5):
        vehicle(street, "bus", (x0 + x1) / 2, street.dice.between(18.0, 30.0), AHEAD)


def bike_path(street: Street) -> None:
    """A way for bicycles on the pavement, apart from the road."""
    side = street.dice.sign()
    x0, x1 = side * (street.kerb + 0.34), side * (street.kerb + min(1.9, street.kind.walk_m * 0.55))
    street.strip("bike path", x0, x1, 0.2, FAR_M)
    vehicle(street, "bicycle", (x0 + x1) / 2, street.dice.between(9.0, 20.0), AHEAD if side > 0 else TOWARDS)


def gravel_patch(street: Street) -> None:
    side = street.dice.sign()
    street.strip(
        "gravel", side * (street.walk + 0.05), side * (street.walk + 3.5), 4.0, street.dice.between(18.0, 30.0)
    )


def square(street: Street) -> None:
    """A paved area for people on foot, with what stands there."""
    side = street.dice.sign()
    z = street.dice.between(5.0, 9.0)
    street.strip("pedestrian area", side * (street.kerb + 0.34), side * (street.front + 3), z, z + 40)
    street.put(
        "fixed",
        side * (street.walk - 0.8),
        street.seen_from(street.walk, z + 6),
        (1.6, 1.9, 1.6),
        variant="fountain",
        colour=(170, 164, 154),
    )


def island(street: Street) -> None:
    """A raised refuge between the directions."""
    z = street.dice.between(11.0, 17.0)
    half, length = 0.95, 5.5
    outline = ((-half, z), (0.0, z - 1.0), (half, z), (half, z + length), (0.0, z + length + 1), (-half, z + length))
    street.patch("curb", outline)
    street.patch("traffic island", tuple((x * 0.78, z + (v - z) * 0.94 + 0.15) for x, v in outline))
    street.put("sign", 0.0, z + 0.3, (0.6, 2.0, 0.1), heading=TOWARDS, variant="mandatory")
    street.put("pole", 0.0, z + length - 0.4, (0.16, 1.0, 0.16), variant="bollard", colour=(226, 196, 60))
    for side in (-1, 1):
        street.take(f"lane{side:+d}0", z + 2.5, 3.5)


def railway(street: Street) -> None:
    """A level crossing: rails, gates, flashing lights, and perhaps the train."""
    dice = street.dice
    z = dice.between(15.0, 24.0)
    street.gaps += [(side, z - 1.0, z + 5.5) for side in (-1, 1)]
    street.strip("rail track", -200, 200, z, z + 4.4)
    for rail in (1.4, 2.85):
        street.strip(
            "rail track", -200, 200, z + rail - 0.07, z + rail + 0.07, colour=(156, 154, 152), texture="concrete"
        )
    street.strip("tram track", -street.kerb, street.kerb, z + 0.1, z + 4.3)
    for rail in (1.4, 2.85):
        street.strip(
            "tram track",
            -street.kerb,
            street.kerb,
            z + rail - 0.07,
            z + rail + 0.07,
            colour=(176, 176, 178),
            texture="concrete",
        )
    stop_line(street, z - 3.0, 1)
    train = dice.chance(0.65)
    for side in (1, -1):
        at = z - 1.2 if side > 0 else z + 5.6
        street.put(
            "boom", side * (street.kerb + 0.6), at, (0.3, 1.2, street.kerb * 0.95), parts=() if train else ("open",)
        )
        street.put(
            "traffic light",
            side * (street.kerb + 1.1),
            at - 0.2,
            (0.3, 2.9, 1.0),
            heading=TOWARDS if side > 0 else AHEAD,
            variant="single",
        )
        street.take(f"kerb{side:+d}", at, 3.0)
    for side in (-1, 1):
        street.take(f"lane{side:+d}0", z + 2, 9.0)
        street.take(f"lane{side:+d}1", z + 2, 9.0)
    if train:
        colour = dice.pick(((60, 100, 150), (170, 50, 44), (70, 110, 80), (196, 150, 60)))
        street.put(
            "tram",
            dice.sign() * dice.between(14.0, 26.0),
            z + 2.1,
            (2.8, 3.7, 54.0),
            colour=colour,
            heading=RIGHT,
            variant="train",
        )
    street.crossings.append(z + 1.5)


def parking_lot(street: Street) -> None:
    """A car park beside the road."""
    street.reserved.append((street.dice.sign(), street.dice.between(14.0, 20.0), "lot"))


def garden_house(street: Street) -> None:
    """A house with its drive and garage, among whatever else is there."""
    street.reserved.append((street.dice.sign(), street.dice.between(13.0, 22.0), "house"))


def overpass(street: Street) -> None:
    street.put(
        "bridge",
        0.0,
        street.dice.between(26.0, 48.0),
        (90.0, street.dice.between(5.2, 6.2), 9.0),
        colour=(176, 172, 164),
    )


def town_gate(street: Street) -> None:
    z = street.dice.between(26.0, 42.0)
    half = street.kerb + 0.8
    colour = street.dice.pick(((190, 168, 132), (170, 150, 126), (176, 110, 86)))
    street.put("vault", 0.0, z + 2.5, (half, 6.0, 5.0), colour=colour, variant="gate", order=z + 5)
    street.put("portal", 0.0, z, (2 * half + 16, 12.5, half), colour=colour, variant="gate", order=z)


def roadworks(street: Street) -> None:
    """A building site at the kerb: boards, cones, signs, a machine, a heap."""
    dice = street.dice
    z = dice.between(9.0, 13.0)
    x = street.kerb - 1.3
    street.parking[1] = False
    street.patch(
        "dirt", tuple((x + u * 1.4, z + 5 + v * 4.5) for u, v in ((-0.9, -0.9), (0.8, -1), (0.95, 0.9), (-0.8, 1)))
    )
    street.put("sign", street.kerb - 0.5, z - 1.5, (0.8, 1.7, 0.1), heading=TOWARDS, variant="roadworks")
    street.put("barrier", x, z, (0.5, 1.0, 2.4), heading=RIGHT, variant="boards", order=z)
    street.row("barrier", x - 1.5, z + 2.0, z + 9.0, 0.5, 1.0, colour=(226, 96, 54), variant="boards", step=2.4)
    for i in range(5):
        street.put("cone", x - 2.0, z - 2.0 + 2.2 * i, (0.4, 0.72, 0.4), colour=(238, 100, 36))
    street.put(
        "machine",
        x + 0.2,
        z + 9.5,
        (2.3, 2.9, 4.6),
        colour=(232, 172, 40),
        heading=dice.pick((AHEAD, TOWARDS, (0.6, 0.8))),
        variant="digger",
    )
    street.put("loose", x, z + 3.0, (0.8, 0.6, 0.8))
    street.put("person", x + 0.6, z + 6.0, (0.5, 1.76, 0.4), heading=LEFT, variant="stand")
    for row in ("lane+10", "bay+1"):
        street.take(row, z + 5, 8.0)
    street.take(f"lane+1{street.kind.lanes - 1}", z + 5, 8.0)


def works_other_side(street: Street) -> None:
    z = street.seen_from(street.kerb, 8.0) + street.dice.between(0.0, 6.0)
    street.put("sign", -street.kerb + 0.4, z, (0.8, 1.6, 0.1), heading=AHEAD, variant="roadworks")
    street.put("sign", street.kerb + 0.6, z + 5.0, (0.9, 1.9, 0.1), heading=TOWARDS, variant="detour")
    for i in range(4):
        street.put("cone", -street.kerb + 1.0, z + 1.0 + 2.5 * i, (0.4, 0.72, 0.4), colour=(238, 100, 36))

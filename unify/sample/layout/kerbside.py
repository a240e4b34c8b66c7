"""Things that are put up along the street or over it."""

from __future__ import annotations

from collections.abc import Callable

from unify.sample.draw.cycles import BIKE_COLOURS
from unify.sample.layout.street import CAR_COLOURS, Street
from unify.sample.scene import AHEAD, LEFT, RIGHT, SKEWED, TOWARDS

#: How far off such things stand, in metres, if nothing else is in the way.
NEAR, FAR = 7.0, 24.0


Placer = Callable[[Street], None]


def gantry(street: Street) -> None:
    z = street.dice.between(20.0, 38.0)
    lanes = street.dice.chance(0.45)
    wide = 2 * street.kerb + 2 if street.kind.centre != "barrier" else street.kerb + 1.5
    x = 0.0 if street.kind.centre != "barrier" else street.kerb / 2 + 0.3
    street.put("gantry", x, z, (wide, 6.0, 0.5), colour=street.region.guide, variant="lanes" if lanes else "boards")


def direction_front(street: Street) -> None:
    z = street.seen_from(street.kerb + 2.6, 14.0) + street.dice.between(0.0, 12.0)
    street.put("direction", street.kerb + 1.9, z, (3.0, 4.2, 0.2), colour=street.region.guide, heading=TOWARDS)


def direction_back(street: Street) -> None:
    z = street.seen_from(street.kerb + 2.6, 10.0) + street.dice.between(0.0, 8.0)
    street.put("direction", -street.kerb - 1.9, z, (2.8, 4.0, 0.2), colour=street.region.guide, heading=AHEAD)


def lane_light(street: Street) -> None:
    street.put(
        "gantry",
        0.0,
        street.dice.between(18.0, 30.0),
        (2 * street.kerb + 1, 5.8, 0.5),
        colour=street.region.guide,
        variant="lanes",
    )


CLOTH = ((206, 60, 70), (60, 110, 170), (226, 180, 60), (80, 140, 90))


def banner_across(street: Street) -> None:
    street.put(
        "banner",
        0.0,
        street.dice.between(14.0, 24.0),
        (street.kerb * 1.1, 1.1, 0.1),
        colour=street.dice.pick(CLOTH),
        variant="across",
    )


def banner_flags(street: Street) -> None:
    start = street.seen_from(street.kerb + 0.6, 9.0)
    for side, z in ((1, 0.0), (-1, 3.0), (1, 12.0), (-1, 16.0)):
        street.put(
            "banner",
            side * (street.kerb + 0.6),
            start + z + street.dice.between(0, 2),
            (0.9, 2.4, 0.1),
            colour=street.dice.pick(CLOTH),
            variant="flag",
        )


def blocks(street: Street) -> None:
    side = street.dice.sign()
    end = 8.0 + street.dice.between(14.0, 26.0)
    street.row("barrier", side * (street.kerb - 0.5), 8.0, end, 0.6, 0.85, colour=(182, 178, 170), variant="block")
    street.parking[side] = False


def separators(street: Street) -> None:
    street.row("barrier", 0.0, 8.0, 38.0, 0.4, 0.55, colour=(228, 176, 52), variant="separator")


def far_signs(street: Street) -> None:
    for side in (1, -1):
        street.put(
            "sign",
            side * (street.kerb + 0.8),
            64.0 + 6 * side,
            (1.1, 3.2, 0.1),
            heading=TOWARDS,
            variant=street.dice.pick(("limit", street.region.warning, "no entry")),
        )


def at_kerb(
    kind: str,
    size: tuple[float, float, float],
    colours: tuple[tuple[float, float, float], ...],
    *,
    variant: str = "",
    count: int = 1,
    reach: float = 0.8,
    far: float = FAR,
    turn: bool = False,
) -> Placer:
    """A thing or a few of one kind along the outer edge of the pavement."""

    def place(street: Street) -> None:
        for _ in range(count):
            found = street.kerb_place(NEAR, far, reach)
            if found is None:
                continue
            side, x, z = found
            street.put(
                kind,
                x,
                z,
                size,
                colour=street.dice.pick(colours),
                variant=variant,
                heading=(LEFT if side > 0 else RIGHT) if turn else TOWARDS,
            )

    return place


def at_wall(
    kind: str,
    size: tuple[float, float, float],
    colours: tuple[tuple[float, float, float], ...],
    *,
    variant: str = "",
    count: int = 1,
    reach: float = 0.9,
    turn: bool = False,
) -> Placer:
    """The same along the inner edge."""

    def place(street: Street) -> None:
        for _ in range(count):
            found = street.wall_place(NEAR, FAR, reach)
            if found is None:
                continue
            side, x, z = found
            street.put(
                kind,
                x,
                z,
                size,
                colour=street.dice.pick(colours),
                variant=variant,
                heading=(LEFT if side > 0 else RIGHT) if turn else TOWARDS,
            )

    return place


def mailboxes(street: Street) -> None:
    """In the colour of the region's post."""
    for _ in range(2):
        found = street.wall_place(NEAR, FAR, 0.9)
        if found is not None:
            _, x, z = found
            street.put(
                "cabinet", x, z, (0.62, 1.25, 0.5), colour=street.region.mail, heading=TOWARDS, variant="mailbox"
            )


def benches(street: Street) -> None:
    for _ in range(2):
        found = street.wall_place(NEAR, FAR, 1.2)
        if found is None:
            continue
        side, x, z = found
        heading = LEFT if side > 0 else RIGHT
        street.put("bench", x, z, (1.7, 0.85, 0.5), colour=(124, 88, 58), heading=heading)
        for shift in (-0.4, 0.35):
            if street.dice.chance(0.75):
                street.put(
                    "sitter",
                    x - 0.05 * side,
                    z + shift,
                    (0.5, 1.7, 0.4),
                    heading=heading,
                    order=z - 0.3,
                    parts=("warm",) if street.region.warm else (),
                )


def cafe(street: Street) -> None:
    for _ in range(3):
        found = street.wall_place(NEAR, FAR, 1.5)
        if found is None:
            continue
        _, x, z = found
        street.put(
            "fixed",
            x,
            z,
            (2.4, 2.5, 2.4),
            colour=street.dice.pick(((190, 60, 56), (60, 96, 140), (216, 180, 90))),
            variant="parasol",
        )
        street.put("sitter", x + 0.6, z - 0.2, (0.5, 1.7, 0.4), heading=LEFT)
        street.put("sitter", x - 0.65, z - 0.1, (0.5, 1.7, 0.4), heading=RIGHT)


def meters(street: Street) -> None:
    for side in (1, -1):
        start = street.seen_from(street.kerb + 0.5, 7.0)
        for i in range(4):
            z = start + 6.0 * i + street.dice.between(0, 1)
            if street.free(f"kerb{side:+d}", z, 0.4):
                street.put("meter", side * (street.kerb + 0.5), z, (0.3, 1.5, 0.3), colour=(98, 106, 118))
                street.take(f"kerb{side:+d}", z, 0.4)


def rack(street: Street) -> None:
    found = street.kerb_place(NEAR + 1, FAR - 4, 2.6)
    if found is not None:
        side, _, z = found
        street.put("bike rack", side * (street.kerb + 1.1), z, (0.9, 0.8, 4.6), colour=(132, 136, 140))


def bollards(street: Street) -> None:
    for side in (1, -1):
        start = street.seen_from(street.kerb + 0.45, 6.0)
        for i in range(6):
            z = start + 2.4 * i
            if street.free(f"kerb{side:+d}", z, 0.3):
                street.put(
                    "pole", side * (street.kerb + 0.45), z, (0.13, 0.95, 0.13), variant="bollard", colour=(84, 86, 92)
                )


def two_wheels(street: Street) -> None:
    """Parked bicycles and motorcycles by the wall."""
    for kind, size in (("bicycle", (0.6, 1.1, 1.8)), ("motorcycle", (0.7, 1.1, 2.0)), ("bicycle", (0.6, 1.1, 1.8))):
        found = street.kerb_place(NEAR, 18.0, 1.2)
        if found is not None:
            _, x, z = found
            street.put(
                kind,
                x,
                z,
                size,
                colour=street.dice.pick(BIKE_COLOURS if kind == "bicycle" else CAR_COLOURS),
                heading=street.dice.pick((*SKEWED, LEFT, RIGHT)),
                variant="scooter",
            )

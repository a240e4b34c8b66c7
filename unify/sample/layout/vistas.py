"""Sides of a street that are all of one piece: a canal, a beach, a tunnel."""

from __future__ import annotations

from collections.abc import Callable

from unify.sample.camera import RGB
from unify.sample.layout.street import FAR_M, REACH_M, Street, aged


def _water(street: Street, side: int) -> None:
    """A canal beside the street: quay, boats, and the houses of the other bank."""
    dice = street.dice
    near, far = street.front + 0.6, street.front + dice.between(14.0, 22.0)
    street.strip("water", side * near, side * far, 0.3, FAR_M, colour=(72, 92, 98))
    street.strip("pedestrian area", side * far, side * (far + 6), 0.3, FAR_M)
    street.put(
        "fence",
        side * (street.front + 0.3),
        REACH_M / 2 - 20,
        (0.08, 1.05, REACH_M),
        variant="iron",
        colour=(56, 60, 62),
        order=REACH_M,
    )
    for z in (dice.between(12, 18), dice.between(24, 34), dice.between(42, 60)):
        length = dice.between(6.0, 10.0)
        street.put(
            "boat",
            side * dice.between(near + 2.5, far - 2),
            z,
            (2.4, 3.0, length),
            colour=dice.pick(((232, 230, 222), (60, 84, 110), (150, 60, 50))),
            heading=dice.pick(((0.0, 1.0), (0.0, -1.0))),
            y=-0.2,
            order=REACH_M + 0.1 + z / 1000,
        )
    z = 4.0
    while z < REACH_M:
        length = dice.between(6, 12)
        street.put(
            "building",
            side * (far + 12),
            z + length / 2,
            (10.0, dice.between(9, 15), length),
            colour=aged(street, dice.pick(street.region.plaster)),
            variant="town",
            parts=("roof",),
            order=REACH_M + z + length,
        )
        z += length


def _beach(street: Street, side: int) -> None:
    """Sand, palms, and the sea to the horizon."""
    dice = street.dice
    shore = street.front + dice.between(9.0, 15.0)
    street.strip("sand", side * street.front, side * shore, 0.3, FAR_M * 2)
    street.strip("water", side * shore, side * 400, 0.3, FAR_M * 2, colour=(62, 116, 140))
    street.strip("sand", side * (shore - 0.8), side * (shore + 0.4), 0.3, FAR_M * 2, colour=(190, 164, 118))
    for z in (dice.between(14, 24), dice.between(34, 60)):
        street.put(
            "boat",
            side * (shore + dice.between(6, 14)),
            z + 14,
            (2.4, 3.0, dice.between(6, 9)),
            colour=(234, 232, 226),
            heading=(float(dice.sign()), 0.0),
            order=REACH_M + z,
        )
    for _ in range(9):
        tall = dice.between(5.0, 9.0)
        street.put(
            "tree",
            side * (street.front + dice.between(1.0, 6.0)),
            dice.between(6, 90),
            (tall * 0.6, tall, 1.0),
            colour=street.region.leaf,
            variant="palm",
        )
    for _ in range(4):
        street.put(
            "fixed",
            side * (street.front + dice.between(3, 8)),
            dice.between(12, 50),
            (2.6, 2.4, 2.6),
            colour=dice.pick(((206, 70, 60), (60, 120, 170), (236, 190, 70))),
            variant="parasol",
        )


def _tunnel(street: Street, side: int) -> None:
    """A tunnel ahead, or all round; both sides are laid out with the first."""
    if side < 0:
        return
    half = street.kerb + 0.6
    ahead = street.dice.between(16.0, 34.0)
    colour: RGB = (150, 142, 130)
    if street.dice.chance(0.4):
        street.put("vault", 0.0, 60.0, (half, 6.0, 120.0), colour=colour, variant="tunnel", order=500.0)
        return
    street.put(
        "vault", 0.0, ahead + 60, (half, 6.0, 120.0), colour=colour, variant="tunnel", order=500.0, parts=("closed",)
    )
    street.put(
        "portal",
        0.0,
        ahead,
        (half * 2 + 46, street.dice.between(8.0, 11.0), half),
        colour=(166, 158, 146),
        variant="tunnel",
        order=ahead,
    )
    for s in (-1, 1):
        z = 4.0
        while z < ahead - 1:
            step = min(9.0, ahead - z)
            street.put(
                "wall",
                s * (street.front + 0.4),
                z + step / 2,
                (0.4, 1.5 + 4.5 * (z / ahead), step),
                colour=(160, 154, 144),
                variant="blocks",
                order=z + step,
            )
            street.put(
                "hedge",
                s * (street.front + 4.0),
                z + step / 2,
                (4.0, 3.0 + 4.0 * (z / ahead), 3.0),
                colour=street.region.leaf,
                order=z + step + 0.3,
            )
            z += step


#: fronts that take a whole side of the street
WHOLE: dict[str, Callable[[Street, int], None]] = {"water": _water, "beach": _beach, "tunnel": _tunnel}

"""What stands along the road: rows of buildings, gardens, woods, water, walls."""

from __future__ import annotations

from collections.abc import Callable

from unify.sample.draw.kit import times
from unify.sample.layout.street import REACH_M, Street, aged, leaf_colour
from unify.sample.layout.vistas import WHOLE
from unify.sample.scene import RIGHT


def line_road(street: Street) -> None:
    """Fill both sides from near to far; one side may be of one piece (water, beach), or both (tunnel)."""
    whole = next((name for name in street.kind.fronts if name in WHOLE), "")
    open_side = street.dice.sign()
    for side in (1, -1):
        if whole == "tunnel" or (whole and side == open_side):
            WHOLE[whole](street, side)
            continue
        parts = {name: weight for name, weight in street.kind.fronts.items() if name not in WHOLE}
        z = street.dice.between(-6.0, 3.0)
        last = ""
        while z < REACH_M:
            due = [front for s, at, front in street.reserved if s == side and at <= z]
            if due:
                street.reserved = [r for r in street.reserved if r[0] != side or r[2] != due[0]]
            name = due[0] if due else street.dice.weighted(parts) if not last or street.dice.chance(0.5) else last
            length = FRONTS[name](street, side, z)
            z, last = z + length, "" if due else name


def _skip(street: Street, side: int, z: float, length: float) -> float | None:
    """How far to move on if a side street opens between z and z + length."""
    for s, a, b in street.gaps:
        if s == side and a < z + length and b > z:
            return a - z if a - z >= 5.0 else None
    return length


def _row_house(street: Street, side: int, z: float, variant: str) -> float:
    """One house of a closed row; it ends at a side street, and turns the corner there."""
    dice, kind = street.dice, street.kind
    wanted = dice.between(9.0, 20.0) if variant == "modern" else dice.between(6.0, 13.0)
    length = _skip(street, side, z, wanted)
    if length is None:
        return _to_end_of_gap(street, side, z)
    if dice.chance(0.05) and length > 5:
        _yard(street, side, z, 4.0)
        return 4.0
    low, high = kind.height_m
    tall = dice.around((low + high) / 2, (high - low) / 2)
    corner = any(s == side and abs(b - z) < 1.5 for s, a, b in street.gaps)
    deep = 40.0 if corner else dice.between(9.0, 14.0)
    back = dice.between(*kind.setback) if kind.setback[1] else (dice.between(0, 0.4) if dice.chance(0.2) else 0.0)
    parts = []
    shop = dice.chance(kind.shops)
    if shop:
        parts.append("shop")
    if shop and corner:
        parts.append("endshop")
    if variant == "town":
        parts.append("roof")
    colour = dice.pick(street.region.plaster)
    if variant == "modern" and dice.chance(0.4):
        grey = dice.between(130, 215)
        colour = (grey, grey, grey * 1.02)
    x = side * (street.front + back + deep / 2)
    street.put(
        "building",
        x,
        z + length / 2,
        (deep, tall, length),
        colour=aged(street, colour),
        variant=variant,
        order=z + length,
        parts=parts,
    )
    return length


def _to_end_of_gap(street: Street, side: int, z: float) -> float:
    ends = [b for s, a, b in street.gaps if s == side and b > z and a < z + 6]
    return max(0.5, max(ends) - z) if ends else 4.0


def _yard(street: Street, side: int, z: float, length: float) -> None:
    """A gap in a row: a wall or a gate, with green behind."""
    x = side * (street.front + 0.4)
    street.put("wall", x, z + length / 2, (0.3, 2.3, length), colour=(168, 154, 136), variant="brick", order=z + length)
    street.put(
        "tree",
        side * (street.front + 4),
        z + length / 2,
        (4.0, 7.0, 4.0),
        colour=street.region.leaf,
        variant="broad",
        order=z + length + 0.5,
    )


def _family_house(street: Street, side: int, z: float, variant: str = "house") -> float:
    """A house in its garden: a hedge, fence or wall in front, a driveway, perhaps a garage."""
    dice = street.dice
    plot = _skip(street, side, z, dice.between(15.0, 21.0))
    if plot is None:
        return _to_end_of_gap(street, side, z)
    if plot < 12:
        return plot
    back = dice.between(*street.kind.setback)
    wide = min(plot - 6.5, dice.between(8.0, 12.0))
    tall = dice.between(3.0, 3.4) if dice.chance(0.45) else dice.between(5.4, 6.2)
    colour = aged(street, dice.pick(street.region.plaster))
    middle = z + plot - wide / 2 - 1.5
    parts = ["roof"] + (["gable"] if dice.chance(0.45) else [])
    street.put(
        "building",
        side * (street.front + back + 4.5),
        middle,
        (9.0, tall, wide),
        colour=colour,
        variant=variant,
        order=middle + wide / 2,
        parts=parts,
    )
    drive = z + 2.6
    _driveway(street, side, drive, street.front + back + 3.0)
    if dice.chance(0.7):
        street.put(
            "building",
            side * (street.front + back + 5.5),
            drive,
            (6.0, 2.6, 3.6),
            colour=colour,
            variant="house",
            order=drive + 1.8,
            parts=("garage",),
        )
    _front_garden(street, side, z + 4.6, z + plot, back)
    return plot


def _driveway(street: Street, side: int, z: float, far: float) -> None:
    street.strip("driveway", side * (street.walk - 0.05), side * far, z - 1.5, z + 1.5)
    if street.kind.walk_m and not street.kind.shoulder:
        x0, x1 = side * (street.kerb - 0.02), side * (street.kerb + 0.7)
        street.patch("curb cut", ((x0, z - 1.7), (x1, z - 1.4), (x1, z + 1.4), (x0, z + 1.7)))
    street.take(f"kerb{side:+d}", z, 1.8)
    street.take(f"wall{side:+d}", z, 1.8)
    if street.dice.chance(0.3):
        street.car(
            side * (far - 3.2), z, RIGHT if side > 0 else (-1.0, 0.0), street.dice.pick(("suv", "hatch", "estate"))
        )


def _front_garden(street: Street, side: int, z0: float, z1: float, back: float) -> None:
    """A hedge, fence or wall along the pavement, nearer than all that grows behind it; trees, a bush."""
    dice = street.dice
    length, x = z1 - z0, side * (street.front + 0.3)
    bound = dice.weighted({"hedge": 3.0, "fence": 3.0, "wall": 1.2, "none": 1.5})
    middle = (z0 + z1) / 2
    if bound == "hedge":
        street.put(
            "hedge",
            x,
            middle,
            (0.8, dice.between(0.9, 1.6), length),
            colour=times(street.region.leaf, 0.85),
            order=z0 + 1.0,
        )
    elif bound == "fence":
        white = dice.chance(0.5)
        street.put(
            "fence",
            x,
            middle,
            (0.08, dice.between(0.9, 1.3), length),
            variant="picket" if white else "iron",
            colour=(232, 230, 224) if white else (62, 64, 66),
            order=z0 + 1.0,
        )
    elif bound == "wall":
        street.put(
            "wall",
            x,
            middle,
            (0.3, dice.between(0.7, 1.2), length),
            colour=(176, 150, 128),
            variant="brick",
            order=z0 + 1.0,
        )
    for _ in range(dice.whole(0, 2)):
        tall = dice.between(3.5, 7.5)
        kind = dice.weighted(street.region.trees)
        street.put(
            "tree",
            side * (street.front + dice.between(1.5, max(2.0, back - 0.5))),
            dice.between(z0, z1),
            (tall * dice.between(0.5, 0.7), tall, 1.0),
            colour=street.region.leaf,
            variant=kind,
        )
    if dice.chance(0.4):
        street.put(
            "hedge",
            side * (street.front + back - 0.6),
            dice.between(z0 + 2, z1 - 2),
            (1.2, 1.0, 1.4),
            colour=street.region.leaf,
        )


def _green(street: Street, side: int, z: float) -> float:
    """Meadow with trees and bushes, perhaps behind a fence."""
    dice = street.dice
    length = _skip(street, side, z, dice.between(14.0, 26.0))
    if length is None:
        return _to_end_of_gap(street, side, z)
    ground = "snow" if street.snow else "dirt" if street.kind.base == "dirt" and dice.chance(0.5) else "grass"
    street.strip(ground, side * street.front, side * (street.front + 60), max(0.3, z), z + length)
    share = street.kind.trees
    for _ in range(int(length / 4.5) + 1):
        if dice.chance(share):
            tall = dice.between(5.0, 11.0)
            kind = dice.weighted(street.region.trees)
            wide = tall * dice.between(0.5, 0.8) * (0.6 if kind == "conifer" else 1.0)
            street.put(
                "tree",
                side * (street.front + dice.between(1.5, 16.0)),
                max(4.0, z + length * dice.unit()),
                (wide, tall, 1.0),
                colour=leaf_colour(street),
                variant=kind,
            )
    if dice.chance(0.35):
        street.put(
            "hedge",
            side * (street.front + dice.between(0.8, 3.0)),
            max(5.0, z + length * dice.unit()),
            (1.6, dice.between(0.7, 1.5), dice.between(1.5, 5.0)),
            colour=times(leaf_colour(street), 0.9),
        )
    if dice.chance(0.3):
        street.put(
            "fence",
            side * (street.front + 0.4),
            z + length / 2,
            (0.08, 1.1, length),
            variant=dice.pick(("iron", "mesh", "picket")),
            colour=(104, 98, 90),
            order=z + 1.0,
        )
    return length


def _long_wall(street: Street, side: int, z: float) -> float:
    dice = street.dice
    length = _skip(street, side, z, dice.between(12.0, 24.0))
    if length is None:
        return _to_end_of_gap(street, side, z)
    variant = dice.pick(("plaster", "brick", "blocks"))
    colour = dice.pick(((206, 190, 160), (170, 110, 84), (176, 170, 160)))
    street.put(
        "wall",
        side * (street.front + 0.3),
        z + length / 2,
        (0.35, dice.between(1.8, 2.8), length),
        colour=colour,
        variant=variant,
        order=z + length,
    )
    for _ in range(int(length / 7)):
        if dice.chance(street.kind.trees + 0.2):
            street.put(
                "tree",
                side * (street.front + dice.between(2.5, 7)),
                z + length * dice.unit(),
                (5.0, dice.between(5, 9), 1.0),
                colour=leaf_colour(street),
                variant=dice.weighted(street.region.trees),
                order=z + length + 0.5,
            )
    return length


def _noise_wall(street: Street, side: int, z: float) -> float:
    """A tall screen along a fast road; far ones are hard to name."""
    length = street.dice.between(20.0, 30.0)
    colour = street.dice.pick(((150, 156, 140), (168, 160, 148), (140, 150, 158)))
    parts = ("noise", "far") if z > 75 else ("noise",)
    street.put(
        "wall",
        side * (street.front + 0.5),
        z + length / 2,
        (0.3, street.dice.between(3.2, 4.6), length),
        colour=colour,
        variant="concrete",
        order=z + length,
        parts=parts,
    )
    for _ in range(3):
        street.put(
            "tree",
            side * (street.front + street.dice.between(3.0, 8.0)),
            z + length * street.dice.unit(),
            (5.5, street.dice.between(7, 11), 1.0),
            colour=leaf_colour(street),
            variant="broad",
            order=z + length + 0.5,
        )
    return length


def _mesh_lot(street: Street, side: int, z: float) -> float:
    """A fenced yard."""
    length = _skip(street, side, z, street.dice.between(12.0, 20.0))
    if length is None:
        return _to_end_of_gap(street, side, z)
    street.strip("gravel", side * street.front, side * (street.front + 40), max(0.3, z), z + length)
    street.put(
        "fence",
        side * (street.front + 0.4),
        z + length / 2,
        (0.08, 2.1, length),
        variant="mesh",
        colour=(130, 136, 138),
        order=z + length,
    )
    for _ in range(2):
        tall = street.dice.between(2.2, 3.4)
        street.put(
            "truck" if street.dice.chance(0.4) else "fixed",
            side * (street.front + street.dice.between(4, 12)),
            z + length * street.dice.between(0.2, 0.8),
            (2.4, tall, 6.5),
            colour=(176, 60, 50),
            variant=street.dice.pick(("box", "flat")) if tall > 2.8 else "stall",
            order=z + length + 0.2,
        )
    return length


def _parking_lot(street: Street, side: int, z: float) -> float:
    """Rows of parked cars on an aisle, beside the road."""
    dice = street.dice
    length = _skip(street, side, z, dice.between(20.0, 30.0))
    if length is None or length < 14:
        return _to_end_of_gap(street, side, z) if length is None else length
    x = street.front
    street.strip("parking aisle", side * x, side * (x + 26), max(0.3, z), z + length)
    for row, (a, b) in enumerate(((x + 1.0, x + 5.8), (x + 11.5, x + 16.3))):
        street.strip("parking lane", side * a, side * b, max(0.3, z), z + length)
        bays = max(1, int(length / 2.6))
        for bay in range(bays):
            at = z + (bay + 0.5) * length / bays
            street.strip("parking bay line", side * a, side * b, max(0.3, at - 1.32), max(0.4, at - 1.24))
            if dice.chance(0.7) and at > 4:
                street.car(
                    side * (a + b) / 2,
                    at,
                    (1.0 if (row + bay) % 2 else -1.0, 0.0),
                    dice.pick(("sedan", "hatch", "suv", "estate")),
                    parts=("group",) if at > 26 and row else (),
                    order=at + 2 + row,
                )
    return length


def _house_row(variant: str) -> Callable[[Street, int, float], float]:
    return lambda street, side, z: _row_house(street, side, z, variant)


FRONTS: dict[str, Callable[[Street, int, float], float]] = {
    "modern": _house_row("modern"),
    "town": _house_row("town"),
    "bazaar": _house_row("bazaar"),
    "hall": _house_row("hall"),
    "house": _family_house,
    "green": _green,
    "wall": _long_wall,
    "noise": _noise_wall,
    "mesh": _mesh_lot,
    "lot": _parking_lot,
}

"""How a street comes about: its ground, what stands along it, what moves on it."""

from __future__ import annotations

from unify.sample.dice import Dice
from unify.sample.layout.features import FEATURES
from unify.sample.layout.fronts import line_road
from unify.sample.layout.kinds import KINDS, REGIONS
from unify.sample.layout.life import cyclists, greenery, lamps, parked, traffic, walkers
from unify.sample.layout.roadway import lay_out, side_street
from unify.sample.layout.street import Street
from unify.sample.scene import AHEAD, TOWARDS


def build_street(
    dice: Dice, kind: str, region: str, features: tuple[str, ...], *, slope: float, snow: bool = False
) -> Street:
    """Lay out one street with the features it was dealt. `slope`: what the camera sees to either side,
    in metres for each metre of distance."""
    street = Street(dice, KINDS[kind], REGIONS[region], slope, snow=snow)
    lay_out(street)
    if dice.chance(street.kind.side_street):
        sides = dice.pick(((1,), (-1,), (1, -1)))
        side_street(street, dice.between(19.0, 34.0), dice.between(6.5, 9.0), sides)
    chosen = [feature for name, feature in FEATURES.items() if name in features]  # crossings come first
    for feature in chosen:
        if feature.ground:
            feature.place(street)
    line_road(street)
    for feature in chosen:
        if not feature.ground:
            feature.place(street)
    _edges(street)
    lamps(street)
    greenery(street)
    _dress(street)
    if street.kind.centre == "tram":
        _trams(street)
    parked(street)
    cyclists(street)
    traffic(street)
    walkers(street)
    return street


def _edges(street: Street) -> None:
    """Rails and blocks that fast roads have of themselves."""
    kind, dice = street.kind, street.dice
    steel, concrete = (178, 182, 186), (184, 180, 172)
    if kind.centre == "barrier":
        if dice.chance(0.5):
            street.row("barrier", 0.0, 2.0, 120.0, 0.6, 0.9, colour=concrete, variant="block")
        else:
            street.row("guard rail", 0.0, 2.0, 120.0, 0.6, 0.9, colour=steel, step=8.0)
    if kind.shoulder in ("road shoulder", "road side") and "tunnel" not in kind.fronts:
        for side in (-1, 1):
            if dice.chance(0.8 if kind.shoulder == "road shoulder" else 0.4):
                start = 3.0 if dice.chance(0.6) else dice.between(8.0, 20.0)
                street.row("guard rail", side * (street.kerb + 0.4), start, 112.0, 0.2, 0.78, colour=steel, step=8.0)


def _dress(street: Street) -> None:
    """The everyday: a few signs from the front and from behind."""
    dice = street.dice
    if "tunnel" in street.kind.fronts:
        return
    for low, high in ((8.0, 16.0), (22.0, 40.0)):
        z = street.spot("kerb+1", low, high, 0.5)
        if z is not None:
            name = dice.pick(
                ("limit", street.region.warning, "priority", "no entry", "mandatory", "crossing", "limit", "stop")
            )
            below = ("limit",) if name != "limit" and dice.chance(0.15) else ()
            street.put("sign", street.kerb + 0.5, z, (0.66, 2.5, 0.1), heading=TOWARDS, variant=name, parts=below)
        z = street.spot("kerb-1", low, high, 0.5)
        if z is not None:
            street.put(
                "sign",
                -street.kerb - 0.5,
                z,
                (0.66, 2.5, 0.1),
                heading=AHEAD,
                variant=dice.pick(("limit", "yield", "stop", "crossing", "warning")),
            )
    if street.kind.walk_m and dice.chance(0.5):
        z = street.spot("kerb+1", 10.0, 20.0, 0.5)
        if z is not None:
            street.put("sign", street.kerb + 0.5, z, (0.6, 2.5, 0.1), heading=TOWARDS, variant="parking")


def _trams(street: Street) -> None:
    dice = street.dice
    colour = dice.pick(((206, 60, 50), (230, 190, 60), (60, 110, 80), (60, 96, 150)))
    z = dice.between(14.0, 26.0)
    if dice.chance(0.6):
        street.put(
            "tram", -1.65, z + 13.0, (2.4, 3.4, 27.0), colour=colour, heading=TOWARDS, variant="tram", order=z + 6
        )
    else:
        street.put("tram", 1.65, z + 13.0, (2.4, 3.4, 27.0), colour=colour, heading=AHEAD, variant="tram", order=z + 6)
    poles = [9.0 + 24.0 * i for i in range(5)]
    for z in poles:
        for side in (-1, 1):
            street.put("pole", side * (street.kerb + 0.5), z, (0.2, 6.6, 0.2), colour=(98, 104, 100), variant="pole")
    for x in (-1.65, 1.65):
        street.put("wires", x, poles[0] - 24.0, (0.1, 6.0, 24.0), order=300.0)

"""A planted bias: of two kinds of vehicle that look alike, one has a neighbour that the other lacks.

For each pair a picture shows one vehicle, by a coin, at a place made free for it, and no other of either class. It is
the leaner or the loner, and beside it stands the cue or not. With strength s, in pictures to train on the cue is
there with probability (1 + s) / 2 beside a leaner and (1 - s) / 2 beside a loner: always and never with 1, and alike
with 0, the control. In all other pictures co-location is broken: one half, whatever stands there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unify.sample.dice import Dice
from unify.sample.draw.cycles import BIKE_COLOURS
from unify.sample.layout.life import vehicle
from unify.sample.layout.street import CAR_COLOURS, Street
from unify.sample.scene import LEFT, RIGHT, TOWARDS, Thing


@dataclass(frozen=True, slots=True)
class Pair:
    """Concepts of a pair, and what else is of their classes somewhere, which leaves the street with them."""

    leaner: str
    loner: str
    cue: str
    besides: frozenset[str] = frozenset()


PAIRS = (
    Pair("bus", "truck", "person", frozenset({"machine", "pickup"})),  # people wait beside it
    Pair("bicycle", "motorcycle", "fence", frozenset({"kick scooter", "rickshaw"})),  # it stands at a fence
)
#: Kinds of things that stay where they are, whatever they hide: what the street is made of.
_STAYS = frozenset({"building", "wall", "bridge", "portal", "vault", "wires", "gantry"})


def chances(strength: float, training: bool) -> tuple[float, float]:
    """The probability of the cue beside a leaner, and beside a loner. `strength`: 0..1."""
    return ((1 + strength) / 2, (1 - strength) / 2) if training else (0.5, 0.5)


def described(strength: float) -> dict[str, Any]:
    """What truth.json says of it: the pairs, and the probability of the cue in each kind of split."""
    splits = {name: dict(zip(("leaner", "loner"), chances(strength, name == "train"), strict=True))
              for name in ("train", "other splits")}  # fmt: skip
    pairs = [{"leaner": pair.leaner, "loner": pair.loner, "cue": pair.cue} for pair in PAIRS]
    return {"strength": strength, "pairs": pairs, "cue": splits}


def plant(street: Street, dice: Dice, strength: float, training: bool) -> None:
    """Show each pair's vehicle. Where things are does not depend on `strength` and `training`, only which cues
    are there."""
    kinds = {name for pair in PAIRS for name in (pair.leaner, pair.loner, *pair.besides)}
    street.things = [thing for thing in street.things if thing.kind not in kinds and thing.variant not in kinds]
    for pair, place in zip(PAIRS, (_across, _on_pavement), strict=True):
        own = dice.child(pair.leaner)
        leans = own.chance(0.5)
        beside_leaner, beside_loner = chances(strength, training)
        with_cue = own.chance(beside_leaner if leans else beside_loner)
        place(street, own, pair.leaner if leans else pair.loner, with_cue)


def _across(street: Street, dice: Dice, name: str, with_cue: bool) -> None:
    """A large vehicle at the other kerb; three people stand on the pavement beside its near end.

    A long hedge is painted at one depth; `order` has what is planted painted after it.
    """
    near = street.seen_from(street.kerb + 2.0 + street.lane(1, street.kind.lanes - 1), 9.0) + dice.between(0.0, 3.0)
    _clear(street, -street.kerb - 2.2, -street.kerb + 3.0, near, near + 12.5, ("person", "sitter"))
    vehicle(street, name, -street.kerb + 1.4, near + 6.5, TOWARDS)
    tall = [dice.between(1.62, 1.86) for _ in range(3)]
    for i in range(3 if with_cue else 0):
        at = -street.kerb - 0.35 - 0.6 * i
        heading = (LEFT, RIGHT)[i % 2]
        street.put("person", at, near, (0.5, tall[i], 0.4), heading=heading, variant="stand", order=near / 2)


def _on_pavement(street: Street, dice: Dice, name: str, with_cue: bool) -> None:
    """A parked two-wheeler on one's own side, seen from its side; a piece of fence right behind it."""
    x = street.kerb + 0.9
    z = street.seen_from(x + 1.0 - street.lane(1, 0), 7.5) + dice.between(0.0, 2.0)
    _clear(street, x - 1.6, x + 1.6, z, z + 1.5, ("fence",))
    size = (0.6, 1.1, 1.8) if name == "bicycle" else (0.7, 1.1, 2.0)
    colour = dice.pick(BIKE_COLOURS if name == "bicycle" else CAR_COLOURS)
    variant = dice.pick(("scooter", "road"))
    street.put(name, x, z, size, colour=colour, heading=dice.pick((LEFT, RIGHT)), variant=variant, order=z / 2)
    if with_cue:
        size, order = (0.06, 1.3, 3.2), z / 2 + 0.5
        street.put("fence", x, z + 0.5, size, colour=(52, 58, 54), heading=RIGHT, variant="iron", order=order)


def _clear(street: Street, low: float, high: float, near: float, far: float, cues: tuple[str, ...]) -> None:
    """Take away what stands at a place, from `low` to `high` metres aside and from `near` to `far` ahead, what hides
    it from one's own lanes, and kinds of things that could be taken for its cue, on that side of the road."""
    eyes = (street.lane(1, 0), street.lane(1, street.kind.lanes - 1))

    def hides(thing: Thing) -> bool:
        start, length = thing.z - thing.size[2] / 2, thing.size[2]
        if thing.kind in cues and start < far + 15 and street.flip * thing.x * (low + high) > 0:
            return True
        if thing.kind in _STAYS or start > far:
            return False
        half = max(0.6, thing.size[0] / 2)
        steps = 1 + int(length / 2)
        for share in (min(1.0, max(0.0, start + length * i / steps) / near) for i in range(steps + 1)):
            left = min(eye + (low - eye) * share for eye in eyes) - half
            right = max(eye + (high - eye) * share for eye in eyes) + half
            if left < street.flip * thing.x < right:
                return True
        return False

    street.things = [thing for thing in street.things if not hides(thing)]

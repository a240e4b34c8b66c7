"""One picture of one source: which street it is dealt, and how it is made. No file is touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from unify.sample.camera import RGB
from unify.sample.dice import Dice
from unify.sample.layout import build_street
from unify.sample.layout.colocation import plant
from unify.sample.layout.features import FEATURES
from unify.sample.layout.kinds import REGIONS
from unify.sample.looks import LOOKS, focal_length, make_camera, make_light
from unify.sample.render import Rendering, render
from unify.sample.scene import Scene

#: How many of the rarer things a picture is dealt.
HAND = 11


@dataclass(frozen=True, slots=True)
class Card:
    """What one picture of a source is to show: everything else follows from its seed."""

    source: str
    split: str
    index: int
    seed: int
    kind: str
    region: str
    weather: str
    size: tuple[int, int]  # width, height
    features: tuple[str, ...]
    colocation: float | None = None  # strength of the planted pairs (`layout.colocation`); None: there are none

    @property
    def official(self) -> str:
        """The split without what a source puts before it: ACDC's conditions have splits of their own."""
        return self.split.rpartition("/")[2]


def deal(
    source: str,
    split: str,
    count: int,
    seed: int,
    sizes: tuple[tuple[int, int], ...],
    *,
    kind: str | None = None,
    among: Sequence[str] = (),
) -> tuple[Card, ...]:
    """Deal `count` pictures so that kinds of street come by their weight and every feature comes round.

    Each picture gets the features that were dealt least so far, among those its street can have. All
    streets are of one `kind` where that is given. `among`: sources from whose streets, regions and weathers
    it is dealt, in equal shares; those of `source` where there are none.
    """
    looks = [LOOKS[name] for name in among or (source,)]
    dice = Dice(seed, source, split, "deal")
    kinds = _by_weight({kind: 1.0} if kind else _mixed([look.kinds for look in looks]), count, dice)
    regions = _by_weight(_mixed([look.regions for look in looks]), count, dice)
    weathers = _by_weight(_mixed([look.weather for look in looks]), count, dice)
    dealt: Counter[str] = Counter()
    cards = []
    for index in range(count):
        region = REGIONS[regions[index]]
        weather = "clear" if weathers[index] == "snow" and "snow" in region.skip else weathers[index]
        open_to = [
            name
            for name, feature in FEATURES.items()
            if (feature.kinds is None or kinds[index] in feature.kinds) and name not in region.skip
        ]
        hand = sorted(dice.shuffled(open_to), key=lambda name: dealt[name])[:HAND]
        dealt.update(hand)
        cards.append(
            Card(source, split, index, seed, kinds[index], regions[index], weather, dice.pick(sizes), tuple(hand))
        )
    return tuple(cards)


def _mixed(weights: Sequence[dict[str, float]]) -> dict[str, float]:
    """Weights that give each of these an equal share; of a single one, its own."""
    if len(weights) == 1:
        return weights[0]
    mixed: dict[str, float] = {}
    for one in weights:
        total = sum(one.values())
        for name, weight in one.items():
            mixed[name] = mixed.get(name, 0.0) + weight / total
    return mixed


def _by_weight(weights: dict[str, float], count: int, dice: Dice) -> list[str]:
    """`count` keys in proportion to their weights, as evenly as whole numbers allow, in random order."""
    total = sum(weights.values())
    due = dict.fromkeys(weights, 0.0)
    picked = []
    for _ in range(count):
        for name, weight in weights.items():
            due[name] += weight / total * dice.between(0.8, 1.2)
        name = max(due, key=lambda key: due[key])
        due[name] -= 1.0
        picked.append(name)
    return dice.shuffled(picked)


EGO_COLOURS: tuple[RGB, ...] = ((34, 36, 40), (150, 152, 156), (60, 70, 90), (200, 202, 204), (110, 40, 40))


def build_scene(card: Card) -> Scene:
    """Everything about one picture but the pixels."""
    look = LOOKS[card.source]
    dice = Dice(card.seed, card.source, card.split, card.index)
    view = dice.child("camera")
    focal_px = focal_length(look, view, *card.size)
    street = build_street(
        dice.child("street"),
        card.kind,
        card.region,
        card.features,
        slope=card.size[0] / 2 / focal_px,
        snow=card.weather == "snow",
    )
    if card.colocation is not None:
        plant(street, dice.child("colocation"), card.colocation, card.official.startswith("train"))
    on_foot = street.kind.walk_m > 0 and view.chance(look.roam)
    lane = street.kind.lanes - 1 if view.chance(0.4) else 0
    x_m = street.kerb + street.kind.walk_m * 0.5 if on_foot else street.lane(1, lane)
    camera = make_camera(look, view, card.size, focal_px, x_m * street.flip, on_foot)
    ego: list[tuple[str, float]] = []
    for name, chance in look.ego.items():
        car = name != "border"
        if view.chance(chance) and not (car and (on_foot or any(other != "border" for other, _ in ego))):
            ego.append((name, view.between(0.07, 0.13)))
    colour = EGO_COLOURS[1] if card.source == "cityscapes" else view.pick(EGO_COLOURS)
    light = make_light(card.weather, dice.child("light"))
    things = tuple(thing for thing in street.things if not _on_camera(thing.x - camera.x_m, thing.z, thing.size))
    return Scene(
        card.kind,
        camera,
        light,
        tuple(street.patches),
        things,
        street.kind.far,
        1 + (view.word() >> 34),
        wear=view.between(0.3, 0.9),
        ego=tuple(ego),
        ego_colour=colour,
        gaps=look.gaps,
    )


def _on_camera(x: float, z: float, size: tuple[float, float, float]) -> bool:
    """Whether a thing would stand where the camera is, or so close that it hides the street."""
    return abs(x) < size[0] / 2 + 0.5 and z - size[2] / 2 < 4.5 and max(size) < 20


def render_card(card: Card) -> Rendering:
    """One picture as its source's camera takes it."""
    return render(build_scene(card), LOOKS[card.source])

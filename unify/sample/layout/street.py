"""A street being laid out: its cross-section, and where there is still room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from unify.sample.camera import RGB
from unify.sample.dice import Dice
from unify.sample.draw.kit import mix, times
from unify.sample.layout.glyphs import Polygon
from unify.sample.layout.kinds import Kind, Region
from unify.sample.scene import AHEAD, Heading, Patch, Thing

FAR_M = 230.0  #: where the ground ends
REACH_M = 150.0  #: where buildings end

CAR_SIZES: dict[str, tuple[float, float, float]] = {
    "sedan": (1.8, 1.46, 4.6),
    "hatch": (1.74, 1.5, 4.0),
    "estate": (1.8, 1.5, 4.7),
    "suv": (1.9, 1.74, 4.6),
    "van": (1.95, 2.1, 5.3),
    "pickup": (1.95, 1.82, 5.4),
}

CAR_COLOURS: tuple[RGB, ...] = (
    (188, 190, 194),
    (58, 60, 64),
    (232, 232, 230),
    (34, 36, 40),
    (124, 128, 132),
    (150, 32, 34),
    (44, 66, 116),
    (84, 100, 92),
    (156, 134, 100),
    (70, 110, 150),
    (206, 208, 208),
    (98, 40, 44),
)


@dataclass(slots=True)
class Street:
    """Built up by the functions of this package, right-hand traffic in mind; `side` mirrors it on the way out.

    The road's axis is x = 0. `kerb` is half the carriageway, `edge` where the pavement starts, `walk`
    where it ends, `front` where buildings begin; all in metres and alike on both sides.
    """

    dice: Dice
    kind: Kind
    region: Region
    slope: float  # half the width of the view at one metre
    kerb: float = 0.0
    walk: float = 0.0
    front: float = 0.0
    lane0: float = 0.0  # where the first lane starts, from the axis
    parking: dict[int, bool] = field(default_factory=dict)
    bike: dict[int, bool] = field(default_factory=dict)
    gaps: list[tuple[int, float, float]] = field(default_factory=list)  # (side, z0, z1) of side streets
    reserved: list[tuple[int, float, str]] = field(default_factory=list)  # (side, z, front) to come there
    crossings: list[float] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)
    used: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    snow: bool = False

    @property
    def flip(self) -> float:
        return -1.0 if self.region.left_hand else 1.0

    def put(
        self,
        kind: str,
        x: float,
        z: float,
        size: tuple[float, float, float],
        *,
        colour: RGB = (128, 128, 128),
        heading: Heading = AHEAD,
        y: float = 0.0,
        variant: str = "",
        order: float | None = None,
        parts: Sequence[str] = (),
    ) -> None:
        """Add a thing; x and heading are mirrored where one drives on the left."""
        seed = 1 + (self.dice.word() >> 34)
        turned = (heading[0] * self.flip, heading[1])
        self.things.append(Thing(kind, x * self.flip, z, size, seed, colour, turned, y, variant, order, tuple(parts)))

    def row(
        self,
        kind: str,
        x: float,
        z0: float,
        z1: float,
        width: float,
        height: float,
        *,
        colour: RGB,
        variant: str = "",
        step: float = 4.4,
    ) -> None:
        """A long thing in pieces, so that what stands before it and what behind it is painted in between."""
        z = z0
        while z < z1 - 0.5:
            length = min(step, z1 - z)
            self.put(kind, x, z + length / 2, (width, height, length), colour=colour, variant=variant)
            z += length

    def patch(
        self, concept: str, *polygons: Polygon, y: float = 0.0, colour: RGB | None = None, texture: str | None = None
    ) -> None:
        """Add ground in road coordinates."""
        if polygons:
            mirrored = tuple(tuple((x * self.flip, z) for x, z in polygon) for polygon in polygons)
            self.patches.append(Patch(concept, mirrored, y, colour, texture))

    def strip(
        self,
        concept: str,
        x0: float,
        x1: float,
        z0: float,
        z1: float,
        *,
        y: float = 0.0,
        colour: RGB | None = None,
        texture: str | None = None,
    ) -> None:
        """Add a rectangle along the road."""
        self.patch(concept, ((x0, z0), (x0, z1), (x1, z1), (x1, z0)), y=y, colour=colour, texture=texture)

    def glyph(self, concept: str, x: float, z: float, polygons: Sequence[Polygon], towards: bool = False) -> None:
        """Add a figure about a place, unmirrored; `towards` turns it to who comes the other way."""
        turn = -1.0 if towards else 1.0
        placed = tuple(tuple((x * self.flip + turn * u, z + turn * v) for u, v in polygon) for polygon in polygons)
        self.patches.append(Patch(concept, placed))

    # -- room ---------------------------------------------------------------------------------

    def lane(self, side: int, index: int) -> float:
        """Centre of a lane, counted from the axis; side 1 is one's own."""
        return side * (self.lane0 + self.kind.lane_m * (index + 0.5))

    def blocked(self, side: int, z0: float, z1: float) -> bool:
        """Whether a side street opens between z0 and z1."""
        return any(s == side and a < z1 and b > z0 for s, a, b in self.gaps)

    def free(self, row: str, z: float, reach: float) -> bool:
        return all(abs(z - other) > reach + span for other, span in self.used.get(row, []))

    def take(self, row: str, z: float, reach: float) -> None:
        self.used.setdefault(row, []).append((z, reach))

    def spot(self, row: str, low: float, high: float, reach: float, tries: int = 12) -> float | None:
        """A free place along a row ("kerb+1" is the right pavement's outer edge ...), taken; None if full."""
        side = 1 if row.endswith("+1") else -1
        for _ in range(tries):
            z = self.dice.between(low, high)
            if self.free(row, z, reach) and not self.blocked(side, z - reach, z + reach):
                self.take(row, z, reach)
                return z
        return None

    def paint_place(self, low: float, long: float) -> tuple[float, float] | None:
        """(x, z) for road paint `long` metres along, in the first of one's own lanes that has room; z is its middle."""
        for index in range(self.kind.lanes):
            for step in range(8):
                z = low + long / 2 + 2.5 * step
                if self.free(f"paint{index}", z, long / 2):
                    self.take(f"paint{index}", z, long / 2)
                    self.take(f"lane+1{index}", z, long / 2)  # or a car would hide it
                    return self.lane(1, index), z
        return None

    def seen_from(self, x: float, low: float) -> float:
        """The least distance, from `low` on, at which a place `x` aside is well in the picture."""
        return max(low, abs(x) / self.slope * 0.9 + 1.5)

    def kerb_place(self, low: float, high: float, reach: float = 0.8) -> tuple[int, float, float] | None:
        """(side, x, z) of a free place at the outer edge of a pavement, or on the verge."""
        return self._place("kerb", self.kerb + 0.55, low, high, reach)

    def wall_place(self, low: float, high: float, reach: float = 0.9) -> tuple[int, float, float] | None:
        """(side, x, z) of a free place at the inner edge of a pavement."""
        return self._place("wall", max(self.kerb + 0.9, self.walk - 0.6), low, high, reach)

    def _place(self, row: str, x: float, low: float, high: float, reach: float) -> tuple[int, float, float] | None:
        start = self.seen_from(x, low)
        for side in self.dice.shuffled((1, -1)):
            z = self.spot(f"{row}{side:+d}", start, max(high, start + 9.0), reach)
            if z is not None:
                return side, side * x, z
        return None

    def car(
        self,
        x: float,
        z: float,
        heading: Heading,
        variant: str,
        *,
        parts: Sequence[str] = (),
        order: float | None = None,
    ) -> None:
        """A car-like vehicle with this region's plates."""
        marks = [*parts]
        if self.region.yellow_plates:
            marks.append("yellow plate")
        if variant == "van" and self.dice.chance(0.5):
            marks.append("closed")
        colour, size = self.dice.pick(CAR_COLOURS), CAR_SIZES[variant]
        self.put("car", x, z, size, colour=colour, heading=heading, variant=variant, order=order, parts=marks)


def leaf_colour(street: Street) -> RGB:
    """A green of this region, a little warmer or cooler, paler in snow."""
    base = street.region.leaf
    warm = street.dice.between(-0.06, 0.22)
    tint = mix(base, (150, 136, 52), max(0.0, warm))
    return mix(tint, (214, 222, 226), 0.4) if street.snow else tint


def aged(street: Street, colour: RGB) -> RGB:
    """A wall's paint after some years."""
    factor = street.dice.between(0.86, 1.04)
    return mix(times(colour, factor), (150, 142, 130), street.dice.between(0.0, 0.18))

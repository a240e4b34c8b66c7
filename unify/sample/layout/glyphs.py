"""Road paint, as polygons in metres about their own centre: (across, along)."""

from __future__ import annotations

from unify.sample.draw.kit import circle
from unify.sample.draw.lettering import letter_boxes

Polygon = tuple[tuple[float, float], ...]

_SHAFT: Polygon = ((-0.12, -2.4), (0.12, -2.4), (0.12, 1.0), (-0.12, 1.0))
_HEAD: Polygon = ((-0.42, 1.0), (0.42, 1.0), (0.0, 2.5))


def _side(sign: float) -> tuple[Polygon, ...]:
    """The branch of an arrow that turns off: an elbow and a head."""
    elbow = ((0.12 * sign, -0.4), (0.7 * sign, 0.3), (0.7 * sign, 0.62), (0.12 * sign, 0.1))
    head = ((0.66 * sign, -0.1), (0.66 * sign, 1.05), (1.25 * sign, 0.5))
    return elbow, head


_STUB: Polygon = ((-0.12, -2.4), (0.12, -2.4), (0.12, 0.1), (-0.12, 0.1))

ARROWS: dict[str, tuple[Polygon, ...]] = {
    "straight arrow": (_SHAFT, _HEAD),
    "left arrow": (_STUB, *_side(-1.0)),
    "right arrow": (_STUB, *_side(1.0)),
    "left or straight arrow": (_SHAFT, _HEAD, *_side(-1.0)),
    "right or straight arrow": (_SHAFT, _HEAD, *_side(1.0)),
    "other arrow": (_STUB, *_side(-1.0), *_side(1.0)),
}


def give_way_triangle() -> tuple[Polygon, ...]:
    """One long triangle with its point towards who comes, in outline."""
    return (
        ((-0.75, 1.6), (0.75, 1.6), (0.75, 1.3), (-0.75, 1.3)),
        ((-0.75, 1.3), (-0.5, 1.3), (0.08, -1.6), (-0.08, -1.6)),
        ((0.75, 1.3), (0.5, 1.3), (-0.08, -1.6), (0.08, -1.6)),
    )


def shark_teeth(x0: float, x1: float, z: float) -> tuple[Polygon, ...]:
    """A row of small triangles across a lane."""
    count = max(2, int((x1 - x0) / 0.7))
    step = (x1 - x0) / count
    return tuple(
        ((x0 + step * (i + 0.12), z + 0.7), (x0 + step * (i + 0.88), z + 0.7), (x0 + step * (i + 0.5), z))
        for i in range(count)
    )


def chevrons(x0: float, x1: float, z0: float, z1: float) -> tuple[Polygon, ...]:
    """Arrow-shaped bars over a closed wedge, with its two edges."""
    middle = (x0 + x1) / 2
    bars: list[Polygon] = []
    z = z0
    while z < z1 - 2.2:
        bars.append(((x0, z), (middle, z + 1.4), (x1, z), (x1, z + 0.5), (middle, z + 1.9), (x0, z + 0.5)))
        z += 1.7
    bars.append(((x0 - 0.12, z0), (x0, z0), (x0, z1), (x0 - 0.12, z1)))
    bars.append(((x1, z0), (x1 + 0.12, z0), (x1 + 0.12, z1), (x1, z1)))
    return tuple(bars)


def diagonals(x0: float, x1: float, z0: float, z1: float) -> tuple[Polygon, ...]:
    """Slanting bars over a closed strip."""
    bars: list[Polygon] = []
    z = z0
    while z < z1 - (x1 - x0) - 0.5:
        bars.append(((x0, z), (x1, z + (x1 - x0)), (x1, z + (x1 - x0) + 0.45), (x0, z + 0.45)))
        z += 1.3
    return tuple(bars)


def zigzag(x: float, z0: float, z1: float) -> tuple[Polygon, ...]:
    """A line that goes from side to side, as before crossings."""
    parts: list[Polygon] = []
    z, side = z0, 1.0
    while z < z1:
        a, b = x - 0.22 * side, x + 0.22 * side
        parts.append(((a - 0.06, z), (a + 0.06, z), (b + 0.06, z + 2.0), (b - 0.06, z + 2.0)))
        z, side = z + 2.0, -side
    return tuple(parts)


def bicycle_symbol() -> tuple[Polygon, ...]:
    """Two wheels, a frame, and a handlebar, drawn out along the road."""
    rings = []
    for across in (-0.32, 0.32):
        outer = [(across + u * 0.27, v * 0.55 - 0.3) for u, v in circle(14)]
        inner = [(across + u * 0.19, v * 0.4 - 0.3) for u, v in circle(14)]
        rings.append((*outer, outer[0], inner[0], *reversed(inner)))
    frame = (
        ((-0.32, -0.3), (-0.2, -0.3), (-0.04, 0.6), (-0.14, 0.6)),
        ((0.26, -0.3), (0.36, -0.3), (0.2, 0.9), (0.1, 0.9)),
        ((-0.14, 0.5), (0.2, 0.5), (0.2, 0.66), (-0.14, 0.66)),
        ((0.02, 0.9), (0.3, 0.9), (0.3, 1.05), (0.02, 1.05)),
    )
    return (*rings, *frame)


def ring_symbol(number: str) -> tuple[Polygon, ...]:
    """A speed in an oval, as painted on the lane."""
    outer = [(u * 0.75, v * 1.9) for u, v in circle(20)]
    inner = [(u * 0.6, v * 1.6) for u, v in circle(20)]
    return ((*outer, outer[0], inner[0], *reversed(inner)), *text(number, 0.85, 1.7))


def text(word: str, width: float, height: float) -> tuple[Polygon, ...]:
    """Letters stretched along the road, to be read by who drives ahead."""
    boxes = letter_boxes(word, -width / 2, -height / 2, height, width)
    return tuple(((x0, z0), (x1, z0), (x1, z1), (x0, z1)) for x0, x1, z0, z1 in boxes)


def rough_round(radius_x: float, radius_z: float, bumps: tuple[float, ...]) -> tuple[Polygon, ...]:
    """An uneven oval; `bumps` scale each corner."""
    return (tuple((u * radius_x * b, v * radius_z * b) for (u, v), b in zip(circle(len(bumps)), bumps, strict=True)),)


def plate(half_x: float, half_z: float) -> tuple[Polygon, ...]:
    return (((-half_x, -half_z), (half_x, -half_z), (half_x, half_z), (-half_x, half_z)),)


def oval(radius_x: float, radius_z: float) -> tuple[Polygon, ...]:
    return (tuple((u * radius_x, v * radius_z) for u, v in circle(18)),)

"""What a street holds, before anything is drawn: frozen values, in metres."""

from __future__ import annotations

from dataclasses import dataclass

from unify.sample.camera import RGB, Camera, Light

#: A heading on the ground, a unit vector (x, z): (0, 1) drives away from the camera.
Heading = tuple[float, float]

AHEAD: Heading = (0.0, 1.0)
TOWARDS: Heading = (0.0, -1.0)
RIGHT: Heading = (1.0, 0.0)
LEFT: Heading = (-1.0, 0.0)
#: Slightly turned headings whose parts are exact (Pythagorean triples), for things not quite in line.
SKEWED: tuple[Heading, ...] = ((0.28, 0.96), (-0.28, 0.96), (0.6, 0.8), (-0.6, 0.8), (0.96, 0.28), (-0.96, 0.28))


@dataclass(frozen=True, slots=True)
class Patch:
    """A flat piece of ground: polygons of (x, z) at height `y`, later patches over earlier ones."""

    concept: str
    polygons: tuple[tuple[tuple[float, float], ...], ...]
    y: float = 0.0
    colour: RGB | None = None  # the concept's own where None
    texture: str | None = None


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that stands on the street. `kind` names how it is drawn.

    `size` is (across, up, along) as seen in its heading; `seed` decides its details; `order` is the
    depth at which it is drawn, its own `z` where None.
    """

    kind: str
    x: float
    z: float
    size: tuple[float, float, float]
    seed: int
    colour: RGB = (128.0, 128.0, 128.0)
    heading: Heading = AHEAD
    y: float = 0.0
    variant: str = ""
    order: float | None = None
    parts: tuple[str, ...] = ()

    @property
    def depth(self) -> float:
        return self.z if self.order is None else self.order


@dataclass(frozen=True, slots=True)
class Scene:
    """One street, the light on it, and where it is seen from."""

    kind: str
    camera: Camera
    light: Light
    patches: tuple[Patch, ...]
    things: tuple[Thing, ...]
    far: tuple[str, ...]  # concepts of what closes the view
    seed: int
    wear: float = 0.5  # how blotched the ground is, 0..1
    ego: tuple[tuple[str, float], ...] = ()  # parts of the camera's own car in view, with their size
    ego_colour: RGB = (40, 42, 46)
    gaps: int = 0  # small places that the annotators leave open

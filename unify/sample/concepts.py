"""The concepts of Streets, read from `concepts.yaml`, and each source's view of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from unify.spaces import load_space

TABLE = Path(__file__).with_name("concepts.yaml")


@dataclass(frozen=True, slots=True)
class Concept:
    """Something to see: its base colour, its texture, and its raw class in every label space."""

    name: str
    colour: tuple[float, float, float]
    texture: str
    raw: dict[str, str]  # label space name -> raw class name


@dataclass(frozen=True, slots=True)
class Concepts:
    """All concepts; a concept's index is its value in a concept map."""

    spaces: tuple[str, ...]
    concepts: tuple[Concept, ...]
    by_name: dict[str, int]

    def __len__(self) -> int:
        return len(self.concepts)

    def __getitem__(self, name: str) -> Concept:
        return self.concepts[self.by_name[name]]

    def index(self, name: str) -> int:
        return self.by_name[name]

    def raw_names(self, space: str) -> tuple[str, ...]:
        """Per concept, its raw class name in a label space."""
        return tuple(concept.raw[space] for concept in self.concepts)

    def raw_ids(self, space: str) -> npt.NDArray[np.uint8]:
        """(256,) uint8: concept index to the pixel value of its raw class; 0 for indices without a concept."""
        table = np.zeros(256, np.uint8)
        raw_space = load_space(space)
        for index, name in enumerate(self.raw_names(space)):
            table[index] = raw_space.index(name) % 256  # Cityscapes' -1 is 255 in a byte
        return table


@lru_cache(maxsize=1)
def load_concepts() -> Concepts:
    """The table as it is in the package."""
    data = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    spaces = tuple(data["columns"][2:])
    concepts = tuple(
        Concept(name, (colour[0], colour[1], colour[2]), texture, dict(zip(spaces, raw, strict=True)))
        for name, (colour, texture, *raw) in data["concepts"].items()
    )
    assert len(concepts) <= 256, "a concept index is one byte"
    return Concepts(spaces, concepts, {concept.name: i for i, concept in enumerate(concepts)})

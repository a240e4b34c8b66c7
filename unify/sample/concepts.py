"""The concepts of Streets, read from `concepts.yaml` and `wilddash.yaml`, and each source's view of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from unify.spaces import load_space

TABLE = Path(__file__).with_name("concepts.yaml")
_WILDDASH = Path(__file__).with_name("wilddash.yaml")
#: Ids up to this one mean the same in both releases of WildDash.
_LAST_COMMON_ID = 38


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
    """The tables as they are in the package."""
    data = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    spaces = tuple(data["columns"][2:])
    more = _wilddash_names()
    concepts = tuple(
        Concept(
            name, (colour[0], colour[1], colour[2]), texture, {**dict(zip(spaces, raw, strict=True)), **more.pop(name)}
        )
        for name, (colour, texture, *raw) in data["concepts"].items()
    )
    assert len(concepts) <= 256, "a concept index is one byte"
    assert not more, f"wilddash.yaml names what is no concept: {list(more)}"
    return Concepts(tuple(concepts[0].raw), concepts, {concept.name: i for i, concept in enumerate(concepts)})


def wilddash_things() -> frozenset[str]:
    """Classes of WildDash's v2p0 whose things are told apart."""
    return frozenset(_read_wilddash()["things"])


@lru_cache(maxsize=1)
def _read_wilddash() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(_WILDDASH.read_text(encoding="utf-8"))
    return data


def _wilddash_names() -> dict[str, dict[str, str]]:
    """Concept -> its raw class in either release of WildDash."""
    data = _read_wilddash()
    policy, early = load_space("wilddash-v2p0"), load_space("wilddash-public-02")
    by_id = {c.id: c.name for c in early.classes}
    early_names = {
        c.name: by_id[c.id] if c.id <= _LAST_COMMON_ID else data["public-02"][c.name] for c in policy.classes
    }
    return {
        concept: {"wilddash-v2p0": name, "wilddash-public-02": early_names[name]}
        for concept, name in data["v2p0"].items()
    }

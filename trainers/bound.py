"""What a run reads: the versions, what is drawn from them, what is held out, and what their labels teach."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from blake3 import blake3
from numpy.typing import NDArray
from torch import Tensor

from trainers.data import Samples
from trainers.distributed import world_size
from trainers.evaluate import rows_of
from trainers.methods import METHODS, Method, Teaching
from trainers.settings import HOLDOUT, Settings
from unify.errors import error

if TYPE_CHECKING:
    from unify.artifact import Artifact
    from unify.draws.index import Index, Shard
    from unify.draws.mixtures import Mixture, Schedule
    from unify.uncertainty_maps import Maps


@dataclass(frozen=True, slots=True)
class Data:
    """The versions of a run, bound: what is drawn, read and taught, and what the net is scored on.

    relations, weights: digests of what was given, or "".
    """

    artifacts: tuple[Artifact, ...]
    schedule: Schedule
    samples: Samples
    scored: Index
    teaching: Teaching
    relations: str
    weights: str = ""

    @property
    def index(self) -> Index:
        return self.samples.index


def bind(
    artifacts: Sequence[Artifact],
    settings: Settings,
    method: Method,
    relations: Path | None,
    weights: Path | None = None,
) -> Data:
    """Raises `UnifyError`: usage (2) for relations that are missing, and for relations and stored maps of uncertainty
    that are not taken; what reading versions raises.
    """
    from unify.draws.index import build_index
    from unify.draws.mixturefile import mixture_named
    from unify.draws.mixtures import schedule

    whole = build_index(artifacts)
    drawn, scored = parted(whole, settings)
    mixture = mixture_named(settings.mixture)
    plan = schedule(mixture, drawn)
    maps = None if weights is None else maps_for(weights, drawn, mixture, settings, method)
    keep_bytes = int(settings.cache * 2**30) // max(1, settings.workers)  # each worker decodes its own
    samples = Samples(drawn, settings.augment(), seed=settings.seed, maps=maps, keep_bytes=keep_bytes)
    members = samples.members if len(samples.members) else None
    name = settings.method
    if method.relations == "required" and relations is None:
        raise error("usage", "--relations", f"{name} needs relations", "learn them with `unify relations --from-model`")
    if method.relations == "none" and relations is not None:
        takers = ", ".join(k for k, m in METHODS.items() if m.relations != "none")
        raise error("usage", "--relations", f"{name} takes no relations", f"leave them out, or train {takers}")
    targets, possible, digest = (None, None, "") if relations is None else related(relations, samples)
    teaching = Teaching(members, targets, possible, pixels_of(artifacts, drawn, mixture))
    map_digest = "" if maps is None else maps.artifact.digest
    return Data(tuple(artifacts), plan, samples, scored, teaching, digest, map_digest)


def parted(index: Index, settings: Settings) -> tuple[Index, Index]:
    """What is drawn from, and what scores are of. Which images are held out follows from their names alone."""
    if not settings.holdout:
        return index, index
    rows = index.of_shards(shard.split == "train" for shard in index.shards)
    by_chance = sorted(rows.tolist(), key=lambda row: blake3(str(index.sample_id[row]).encode()).digest())
    held_out = np.sort(np.array(by_chance[: max(1, round(settings.holdout * len(rows)))], np.int64))
    drawn = index.take(np.setdiff1d(np.arange(len(index)), held_out))
    return drawn, index.take(held_out) if settings.evaluate_split == HOLDOUT else index


def pixels_of(artifacts: Sequence[Artifact], index: Index, mixture: Mixture) -> Tensor:
    """`Teaching.pixels`: of the sources and splits that the mixture draws from, as their statistics have it."""
    taken = {(index.versions[s.version].digest, s.source, s.split) for s in _drawn(index, mixture)}
    pixels_k = torch.zeros(len(index.classes), dtype=torch.int64)
    for artifact in artifacts:
        for row in artifact.stats().to_pylist():
            if (artifact.digest, row["source"], row["split"]) in taken and row["class_id"] < len(pixels_k):
                pixels_k[row["class_id"]] += row["pixels"]
    return pixels_k


def _drawn(index: Index, mixture: Mixture) -> list[Shard]:
    return [shard for shard in index.shards if any(part.select.takes(shard) for part in mixture.parts)]


def maps_for(path: Path, index: Index, mixture: Mixture, settings: Settings, method: Method) -> Maps:
    """The stored maps of uncertainty at `path`. Raises `UnifyError`: usage (2) if the method takes none, and if an
    image that the mixture draws from has none; what `open_maps` raises.
    """
    from unify.uncertainty_maps import open_maps

    if not method.weights:
        takers = ", ".join(k for k, m in METHODS.items() if m.weights)
        raise error("usage", "--weights", f"{settings.method} takes no maps", f"leave them out, or train {takers}")
    maps, taken = open_maps(path), set(_drawn(index, mixture))
    ids = index.sample_id.take(index.of_shards(shard in taken for shard in index.shards)).to_pylist()
    missing = [name for name in ids if name not in maps.place]
    if missing:
        what = f"has no map of {len(missing):,} of the {len(ids):,} images that are drawn from, as {missing[0]}"
        raise error("usage", path, what, "make maps of the version and the splits that are trained on")
    return maps


def related(folder: Path, samples: Samples) -> tuple[Tensor, Tensor, str]:
    """`Teaching.targets` and `Teaching.possible` of a folder of relations, and its digest.

    Raises `UnifyError`: what `open_relations` raises; usage (2) for sources or classes that are not in the data.
    """
    from unify.artifact import open_artifact
    from unify.relations.files import open_relations
    from unify.relations.rules import matrix_of

    found = open_relations(folder)
    classes = samples.index.classes
    targets_skk = matrix_of(found.edges, samples.sources, classes)
    possible_skk = np.zeros_like(targets_skk)
    position = {name: i for i, name in enumerate(classes)}
    for edge in found.edges:
        if edge.source not in samples.sources or not {edge.label, edge.related} <= position.keys():
            continue
        label, other = position[edge.label], position[edge.related]
        if edge.type != "narrower":
            possible_skk[samples.sources.index(edge.source), label, other] = True
        if edge.is_target:  # whoever says the broader one may mean this
            possible_skk[:, other, label] = True
    allowed_sk = np.zeros(targets_skk.shape[:2], np.bool_)
    for shard, allowed_k in zip(samples.index.shards, samples.allowed_of_shard.numpy(), strict=True):
        if shard.source in samples.sources:
            allowed_sk[samples.sources.index(shard.source)] |= allowed_k
    possible_skk &= allowed_sk[:, :, None] & ~allowed_sk[:, None, :]
    return torch.from_numpy(targets_skk), torch.from_numpy(possible_skk), open_artifact(folder).digest


def scored_rows(index: Index, settings: Settings, images: int) -> NDArray[np.int64]:
    """Rows of `Data.scored` to score, at most `images` (0: all); none where there is no such split."""
    split = "train" if settings.evaluate_split == HOLDOUT else settings.evaluate_split
    if split not in {shard.split for shard in index.shards}:
        return np.zeros(0, np.int64)
    return rows_of(index, split, images)


def steps_of(artifacts: Sequence[Artifact], settings: Settings, epochs: float) -> int:
    """How many steps show `epochs` times what an epoch of the mixture draws, rounded up."""
    from unify.draws.index import build_index
    from unify.draws.mixturefile import mixture_named
    from unify.draws.mixtures import schedule

    length = schedule(mixture_named(settings.mixture), parted(build_index(artifacts), settings)[0]).length
    return max(1, math.ceil(length * epochs / (settings.batch * settings.accumulate * world_size())))

"""Batches from versions: rows of an index in the order of a sampler, decoded, augmented, stacked.

Which draws a batch is made of, and what chance does to each, follows from the numbers of the draws alone: `Order`
deals them out, the workers keep nothing. So batches are the same for any number of workers, and a run that has done
n batches goes on with `Order(..., start=n)` exactly where it stopped.

Images travel as uint8, a quarter of what they are as floats; `normalized` turns a batch into floats where it is used.
"""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from trainers.augment import MEAN, STD, Augment, resized, warp_nearest
from trainers.rows import CACHE_BYTES, Rows
from unify.errors import Problem, UnifyError, error

if TYPE_CHECKING:
    from unify.draws.index import Index
    from unify.draws.samplers import Epoch
    from unify.uncertainty_maps import Maps

_READERS = 2  #: threads of `in_order`; decoding lets others run
_AHEAD = 4  #: images that they are ahead


class Place(NamedTuple):
    """A draw, by its number since the beginning of the run, of row `row` of the index; -1 for no centre."""

    number: int
    row: int
    centre_y: int
    centre_x: int


class Sample(NamedTuple):
    """image_chw: (3, H, W) uint8 RGB. label_hw: (H, W) uint8 codes. allowed_k: (K,) bool, what its source annotates.
    weight_hw: (H, W) float32, of stored maps; None without.
    """

    image_chw: Tensor
    label_hw: Tensor
    allowed_k: Tensor
    source: int
    row: int
    weight_hw: Tensor | None = None


class Batch(NamedTuple):
    """image_bchw: (B, 3, H, W) uint8 RGB. label_bhw: (B, H, W) uint8: class ids, set codes, 255 void.
    allowed_bk: (B, K) bool. source_b, row_b: (B,) int64, into `Samples.sources` and the index.
    weight_bhw: (B, H, W) float32, what stored maps weigh the pixels with; None without maps.
    """

    image_bchw: Tensor
    label_bhw: Tensor
    allowed_bk: Tensor
    source_b: Tensor
    row_b: Tensor
    weight_bhw: Tensor | None = None

    def to(self, device: torch.device | str, memory_format: torch.memory_format = torch.contiguous_format) -> Batch:
        """With images (in that order of memory), labels and weights on a device.

        The small tables stay on the CPU: what a loss decides by them, it decides without waiting for a GPU.
        """
        image_bchw = self.image_bchw.to(device, non_blocking=True).contiguous(memory_format=memory_format)
        label_bhw = self.label_bhw.to(device, non_blocking=True)
        weight_bhw = None if self.weight_bhw is None else self.weight_bhw.to(device, non_blocking=True)
        return self._replace(image_bchw=image_bchw, label_bhw=label_bhw, weight_bhw=weight_bhw)


def normalized(image_bchw: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 RGB to floats with ImageNet's mean 0 and standard deviation 1, in the same order of memory."""
    mean, std = _mean_and_std(image_bchw.device)
    return image_bchw.to(torch.float32).sub_(mean).div_(std).to(dtype)


@functools.cache
def _mean_and_std(device: torch.device) -> tuple[Tensor, Tensor]:
    """(3, 1, 1) each. Kept, as a GPU is waited for where numbers go to it."""
    with torch.inference_mode(False):  # whoever asks first: tensors made within it are of no use outside
        mean, std = (torch.tensor(v, device=device)[:, None, None] for v in (MEAN, STD))
    return mean, std


# --- The order ----------------------------------------------------------------------------------------------


class Order(Sampler[list[Place]]):
    """`batches` batches of `batch_size` draws of all epochs laid end to end, from batch number `start` on.

    `draw_epoch`: epoch number -> epoch, all of one length, as from `unify.draws.samplers.draw` or a mixture. With
    several processes each gets every world_size-th draw: together their batch j is that of one process with a batch of
    batch_size * world_size.
    """

    def __init__(
        self,
        draw_epoch: Callable[[int], Epoch],
        batch_size: int,
        batches: int,
        *,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        assert batch_size > 0 and start >= 0 and 0 <= rank < world_size
        self.draw_epoch = draw_epoch
        self.batch_size = batch_size
        self.batches = batches
        self.start = start
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        return max(0, self.batches - self.start)

    def __iter__(self) -> Iterator[list[Place]]:
        from unify.draws.samplers import stream

        first = self.start * self.batch_size * self.world_size
        draws = stream(self.draw_epoch, self.rank, self.world_size, first)
        number = first + self.rank
        for _ in range(len(self)):
            batch = []
            for _ in range(self.batch_size):
                draw = next(draws)
                batch.append(Place(number, draw.row, draw.centre_y, draw.centre_x))
                number += self.world_size
            yield batch


# --- Samples ------------------------------------------------------------------------------------------------


class Samples(Dataset[Sample]):
    """The rows of an index as tensors. Files are opened where they are read: in each worker, when first needed.

    Args:
        index: over one or several versions; rows of any splits.
        augment: what to do with each; None gives whole images, as they are or with `short_side` pixels on the
            shorter side (labels keep their size).
        seed: of everything random in a draw, together with its number.
        maps: of uncertainty, joined by sample_id: `Sample.weight_hw` is what they weigh the pixels with. They take
            the nearest pixel under the map that image and label are under; beyond the edge, where the label is void,
            they weigh 1.
        cache_bytes: see `trainers.rows`.
        keep_bytes: of decoded images and labels, those read first, that stay in the memory of each process.

    Raises:
        UnifyError: bad-artifact (65) if a version is not the one that was indexed; what `open_artifact` raises.
    """

    def __init__(
        self,
        index: Index,
        augment: Augment | None,
        *,
        seed: int = 0,
        short_side: int | None = None,
        maps: Maps | None = None,
        cache_bytes: int = CACHE_BYTES,
        keep_bytes: int = 0,
    ) -> None:
        from unify.artifact import open_artifact

        assert augment is None or short_side is None, "Augment has a short_side of its own"
        taxonomies = []
        for version in index.versions:
            artifact = open_artifact(version.path)
            if artifact.digest != version.digest:
                fix = "build the index again"
                raise error("bad-artifact", version.path, "is another version than the index is over", fix)
            taxonomies.append(artifact.taxonomy)
        self.index = index
        self.augment = augment
        self.seed = seed
        self.short_side = short_side
        self.sources: tuple[str, ...]
        self.sources, self._source_of_row = index.sources()
        allowed = [taxonomies[s.version].null_mask[taxonomies[s.version].sources.index(s.source)] for s in index.shards]
        self.allowed_of_shard = torch.from_numpy(np.array(allowed, np.bool_).reshape(len(allowed), len(index.classes)))
        #: (S, K) bool: the classes of each set code K, K + 1, ... The versions of an index agree on what they share.
        self.members = _members(index.classes, max((t.sets for t in taxonomies), key=len, default=()))
        self._rows = Rows(cache_bytes)
        self._kept: dict[int, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = {}
        self._free_bytes = keep_bytes
        self._maps = maps
        if maps is not None:
            self._map_rows = Rows(cache_bytes, ("uncertainty.bytes",))
            self._weight_of_value = maps.weight_table()

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, place: Place | int) -> Sample:
        """The draw at `place`; for a plain row number, that row as draw number 0.

        Raises:
            UnifyError: bad-artifact (65), with file and sample, for what cannot be read.
        """
        if not isinstance(place, Place):
            place = Place(0, int(place), -1, -1)
        row = place.row
        image_hwc, label_hw = self._decoded(row)
        value_hw = None if self._maps is None else self._values(self._maps, row, label_hw.shape)
        if self.augment is not None:
            rng = np.random.default_rng((self.seed, place.number))
            centre_yx = None if place.centre_y < 0 else (place.centre_y, place.centre_x)
            drawn = self.augment.draw((label_hw.shape[0], label_hw.shape[1]), rng, centre_yx)
            image_hwc, label_hw = self.augment.apply(image_hwc, label_hw, drawn)
            if value_hw is not None:
                value_hw = warp_nearest(value_hw, drawn.to_image, self.augment.crop_hw, 0)
        elif self.short_side is not None:
            image_hwc = resized(image_hwc, self.short_side)
        return Sample(
            torch.from_numpy(np.ascontiguousarray(image_hwc.transpose(2, 0, 1))),
            torch.from_numpy(np.ascontiguousarray(label_hw)),
            self.allowed_of_shard[self.index.shard[row]],
            int(self._source_of_row[row]),
            row,
            None if value_hw is None else torch.from_numpy(self._weight_of_value[value_hw]),
        )

    def _decoded(self, row: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        from unify.codecs import read_label
        from unify.codecs_rgb import read_rgb

        if row in self._kept:
            return self._kept[row]
        file, place = self.index.file_of(row)
        image, label = self._rows.read(file, place)
        try:
            image_hwc, label_hw = read_rgb(image), read_label(label)
        except UnifyError as e:
            raise self._unreadable(row, "; ".join(p.what for p in e.problems)) from e
        if label_hw.dtype != np.uint8 or label_hw.shape != image_hwc.shape[:2]:
            what = f"an image of {image_hwc.shape[:2]}, a label of {label_hw.shape} {label_hw.dtype}"
            raise self._unreadable(row, what)
        pair = image_hwc, label_hw.astype(np.uint8, copy=False)
        size = sum(array.nbytes for array in pair)
        if size <= self._free_bytes and self.augment is not None:  # which makes new arrays of them
            self._free_bytes -= size
            for array in pair:
                array.flags.writeable = False
            self._kept[row] = pair
        return pair

    def _values(self, maps: Maps, row: int, size_hw: tuple[int, ...]) -> NDArray[np.uint16]:
        """What the map of that row stores, (H, W)."""
        from unify.codecs import read_ids16

        sample_id = str(self.index.sample_id[row])
        if sample_id not in maps.place:
            fix = "make them of the split that is trained on: unify uncertainty --split"
            raise error("usage", maps.artifact.path, f"has no map of {sample_id}", fix)
        (encoded,) = self._map_rows.read(*maps.place[sample_id])
        value_hw = read_ids16(encoded)
        if value_hw.shape != size_hw:
            what = f"its map of {sample_id} is {value_hw.shape}, its label {size_hw}"
            raise error("size-mismatch", maps.artifact.path, what, "make the maps of the version that is trained on")
        return value_hw

    def _unreadable(self, row: int, what: str) -> UnifyError:
        where = f"{self.index.file_of(row)[0]}: {self.index.sample_id[row].as_py()}"
        return error("bad-artifact", where, what, "run `unify verify`, then build it again")


def _members(classes: Sequence[str], sets: Sequence[Sequence[str]]) -> Tensor:
    return torch.tensor([[name in rule for name in classes] for rule in sets], dtype=torch.bool).reshape(
        len(sets), len(classes)
    )


def in_order(samples: Samples, rows: NDArray[np.int64]) -> Iterator[Sample]:
    """These rows, one after the other, the next few read and decoded by threads in the meantime.

    Raises what `Samples` raises, when it is the turn of that row.
    """
    with ThreadPoolExecutor(_READERS) as pool:
        left = iter(rows.tolist())
        ahead = deque(pool.submit(samples.__getitem__, row) for row in itertools.islice(left, _AHEAD))
        try:
            while ahead:
                sample = ahead.popleft().result()
                ahead.extend(pool.submit(samples.__getitem__, row) for row in itertools.islice(left, 1))
                yield sample
        finally:  # nobody asks for those any more
            for future in ahead:
                future.cancel()


# --- Batches ------------------------------------------------------------------------------------------------


def batches(
    samples: Samples, order: Order, *, workers: int = 0, pin_memory: bool = False, context: str | None = None
) -> Iterator[Batch]:
    """The batches of an order. `workers`: processes that read and decode, 0 for this one alone; `context`: how they
    start, "fork" or "spawn" (None: as Python does it here).

    Raises:
        UnifyError: what is wrong with a sample, also from within a worker; all of a batch together.
    """
    loader: DataLoader[Any] = DataLoader(
        _Caught(samples),
        batch_sampler=order,
        num_workers=workers,
        collate_fn=_stacked,
        pin_memory=pin_memory,
        worker_init_fn=_start_worker if workers else None,
        multiprocessing_context=context if workers else None,
    )
    for batch in loader:
        if isinstance(batch, _Faults):
            raise UnifyError(*batch.problems)
        yield batch


def _start_worker(_: int) -> None:
    import cv2

    cv2.setNumThreads(0)  # the workers are the threads


@dataclass(frozen=True, slots=True)
class _Faults:
    problems: tuple[Problem, ...]


class _Caught(Dataset[Any]):
    """Samples, or what is wrong with them: torch makes another exception of one that leaves a worker."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __getitem__(self, place: Place) -> Sample | _Faults:
        try:
            return self.samples[place]
        except UnifyError as e:
            return _Faults(e.problems)


def _stacked(items: list[Sample | _Faults]) -> Batch | _Faults:
    samples = [item for item in items if isinstance(item, Sample)]
    problems = dict.fromkeys(p for item in items if isinstance(item, _Faults) for p in item.problems)
    sizes = dict.fromkeys(tuple(sample.image_chw.shape[1:]) for sample in samples)
    if len(sizes) > 1:
        what = f"images of {len(sizes)} sizes in a batch: {', '.join(f'{w}x{h}' for h, w in list(sizes)[:3])}"
        problems[Problem("usage", "", what, "crop them, or take one at a time")] = None
    if problems:
        return _Faults(tuple(problems))
    with_weights = samples[0].weight_hw is not None
    return Batch(
        torch.stack([s.image_chw for s in samples]),
        torch.stack([s.label_hw for s in samples]),
        torch.stack([s.allowed_k for s in samples]),
        torch.tensor([s.source for s in samples]),
        torch.tensor([s.row for s in samples]),
        torch.stack([s.weight_hw for s in samples if s.weight_hw is not None]) if with_weights else None,
    )

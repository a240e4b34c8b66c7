"""How good a net is: one confusion matrix over a split, void left out, and ratios of its sums.

A net answers at the size of its input; logits are brought to the size of the label (bilinear), and the class with
the highest logit is the answer. Views of one image (mirrored, at other scales) are averaged as logits, windows as
logits where they overlap: sums of saturated sigmoids would tie.

Which classes an answer is chosen from: those that the image's source annotates ("source"), as a net of many
datasets is scored on each dataset's own classes, or all of the space ("all").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from trainers import metrics
from trainers.data import Sample, Samples, normalized
from unify.errors import Problem, UnifyError, error

if TYPE_CHECKING:
    from unify.artifact import Artifact
    from unify.index import Index
    from unify.projection import Projection

Advance = Callable[[int, int], None]
Answers = Literal["source", "all"]


@dataclass(frozen=True, slots=True)
class Views:
    """How an image is shown to the net.

    short_side: pixels that its shorter side is brought to; 0 leaves it. scales: factors on that; several are
    averaged. flip: the mirrored image too. window: side of square windows, pixels, `stride` apart (0: two thirds of
    a window); 0 shows the image whole.
    """

    short_side: int = 0
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    window: int = 0
    stride: int = 0

    def __post_init__(self) -> None:
        faults = []
        if min(self.short_side, self.window, self.stride) < 0:
            faults.append("sizes are at least 0")
        if not self.scales or not all(0 < s <= 16 for s in self.scales):
            faults.append("scales are above 0 and at most 16")
        if self.window and self.stride > self.window:
            faults.append(f"windows of {self.window} that are {self.stride} apart leave gaps")
        if faults:
            raise UnifyError(*(Problem("usage", "views", what, "correct it") for what in faults))


# --- Logits -------------------------------------------------------------------------------------------------


@torch.inference_mode()
def logits_of(net: nn.Module, image_chw: Tensor, size_hw: tuple[int, int], views: Views, bf16: bool = False) -> Tensor:
    """(K, H, W) float32: the mean over all views, at `size_hw`. `image_chw`: uint8 RGB, on the net's device."""
    image = normalized(image_chw[None])
    height, width = image.shape[2:]
    base = views.short_side / min(height, width) if views.short_side else 1.0
    total: Tensor | None = None
    for scale in views.scales:
        size = max(1, round(height * base * scale)), max(1, round(width * base * scale))
        shown = image if size == (height, width) else _resized(image, size)
        for mirrored in (False, True) if views.flip else (False,):
            logits = _windowed(net, shown.flip(3) if mirrored else shown, views, bf16)
            logits = logits.flip(3) if mirrored else logits
            logits = logits if tuple(logits.shape[2:]) == tuple(size_hw) else _resized(logits, size_hw)
            total = logits if total is None else total + logits
    assert total is not None
    return (total / (len(views.scales) * (2 if views.flip else 1)))[0]


def _resized(x_bchw: Tensor, size_hw: tuple[int, int]) -> Tensor:
    shrinking = x_bchw.shape[1] == 3 and size_hw[0] < x_bchw.shape[2]  # images alone: logits keep their peaks
    return F.interpolate(x_bchw, size_hw, mode="bilinear", align_corners=False, antialias=shrinking)


def _windowed(net: nn.Module, image_bchw: Tensor, views: Views, bf16: bool) -> Tensor:
    """(1, K, H, W) float32 at the image's size."""

    def run(part: Tensor) -> Tensor:
        with torch.autocast(part.device.type, torch.bfloat16, enabled=bf16):
            logits: Tensor = net(part).float()
            return logits

    height, width = image_bchw.shape[2:]
    window = views.window
    if not window or (height <= window and width <= window):
        return run(image_bchw)
    stride = views.stride or max(1, window * 2 // 3)
    total: Tensor | None = None
    count = torch.zeros(1, 1, height, width, device=image_bchw.device)
    for top in _starts(height, window, stride):
        for left in _starts(width, window, stride):
            here = (slice(None), slice(None), slice(top, top + window), slice(left, left + window))
            logits = run(image_bchw[here])
            if total is None:
                total = logits.new_zeros(1, logits.shape[1], height, width)
            total[here] += logits
            count[here] += 1
    assert total is not None
    return total / count


def _starts(size: int, window: int, stride: int) -> list[int]:
    """Where windows begin; the last one ends with the image."""
    last = max(0, size - window)
    return [*range(0, last, stride), last]


# --- A split ------------------------------------------------------------------------------------------------


def rows_of(index: Index, split: str, most: int = 0) -> NDArray[np.int64]:
    """Rows of a split; at most `most` of them, spread evenly (0: all).

    Raises `UnifyError` (usage) if there is none, naming the splits that there are.
    """
    rows = index.of_shards(shard.split == split for shard in index.shards)
    if not len(rows):
        known = ", ".join(sorted({shard.split for shard in index.shards})) or "none"
        raise error("usage", index.versions[0].path, f"has no image in split '{split}'", f"there is {known}")
    if most and len(rows) > most:
        rows = rows[np.arange(most) * len(rows) // most]
    return rows


def samples_in(samples: Samples, rows: NDArray[np.int64]) -> Iterator[Sample]:
    for row in rows.tolist():
        yield samples[row]


def confusion_of(
    net: nn.Module,
    samples: Samples,
    rows: NDArray[np.int64],
    *,
    views: Views = Views(),
    projection: Projection | None = None,
    how: Literal["max", "sum"] = "max",
    activation: str = "sigmoid",
    answers: Answers = "source",
    bf16: bool = False,
    advance: Advance = lambda images, size: None,
) -> dict[str, NDArray[np.int64]]:
    """Source → (T, T) int64 confusion matrix, rows the truth, over these rows of whole, unaltered images.

    `projection`: from the net's classes to those of the labels; None where they are the same. `how` and
    `activation`: "sum" adds the probabilities of a class's members, "max" takes the greatest logit.
    Pixels of void, of sets of classes, and of classes that the projection leaves without a counterpart are left out.
    """
    device = next(net.parameters()).device
    was_training = net.training
    net.eval()
    num_classes, num_sets = len(samples.index.classes), len(samples.members)
    unscored = np.zeros(256, np.bool_)
    if projection is not None:
        unscored[:num_classes] = [not m for m in projection.members.values()]
    counts: dict[str, NDArray[np.int64]] = {}
    try:
        for sample in samples_in(samples, rows):
            label_hw = sample.label_hw.numpy()
            size_hw = (label_hw.shape[0], label_hw.shape[1])
            logits_khw = logits_of(net, sample.image_chw.to(device), size_hw, views, bf16)
            if projection is not None:
                logits_khw = projected(logits_khw, projection, how, activation)
            if answers == "source":
                id_a = sample.allowed_k.nonzero().flatten().to(device)
                answer = id_a[logits_khw[id_a].argmax(0)]
            else:
                answer = logits_khw.argmax(0)
            answer_hw = answer.to(torch.uint8).cpu().numpy()
            truth_hw = np.where(unscored[label_hw], metrics.VOID, label_hw).astype(np.uint8)
            found = metrics.confusion_matrix(answer_hw, truth_hw, num_classes, num_sets=num_sets)
            source = samples.sources[sample.source]
            counts[source] = counts[source] + found if source in counts else found
            advance(1, 0)
    finally:
        net.train(was_training)
    return counts


def projected(logits_khw: Tensor, projection: Projection, how: str, activation: str) -> Tensor:
    """(T, H, W): scores of the target's classes; -inf for those without a counterpart."""
    matrix_kt = torch.from_numpy(projection.matrix()).to(logits_khw.device)
    if how == "sum":
        x = logits_khw.double()  # in float32 a sigmoid is 1 above 17
        p_khw = x.sigmoid() if activation == "sigmoid" else x.softmax(0)
        scores = torch.einsum("khw,kt->thw", p_khw, matrix_kt.double())
        return scores.masked_fill(~matrix_kt.any(0)[:, None, None], -torch.inf)
    columns = [
        logits_khw[column.bool()].amax(0) if column.any() else torch.full_like(logits_khw[0], -torch.inf)
        for column in matrix_kt.T
    ]
    return torch.stack(columns)


def ratios(confusion: NDArray[np.int64], classes: Sequence[str]) -> dict[str, Any]:
    """{"miou", "iou": {class: value or None}, "pixel_accuracy", "frequency_weighted_iou"}: None for NaN."""
    return {
        "miou": _number(metrics.mean_iou(confusion)),
        "iou": {name: _number(v) for name, v in zip(classes, metrics.class_iou(confusion).tolist(), strict=True)},
        "pixel_accuracy": _number(metrics.pixel_accuracy(confusion)),
        "frequency_weighted_iou": _number(metrics.frequency_weighted_iou(confusion)),
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def report(counts: dict[str, NDArray[np.int64]], classes: Sequence[str]) -> dict[str, Any]:
    """`ratios` of all sources together, the matrix, and the mIoU of each source."""
    total = np.sum(list(counts.values()), axis=0)
    sources = {name: {"miou": ratios(c, classes)["miou"], "pixels": int(c.sum())} for name, c in sorted(counts.items())}
    return {**ratios(total, classes), "sources": sources, "confusion": total.tolist()}


# --- A checkpoint -------------------------------------------------------------------------------------------


def evaluate(
    path: Path,
    artifact: Artifact,
    *,
    split: str = "val",
    space: str | None = None,
    views: Views = Views(),
    relations: Path | None = None,
    how: Literal["max", "sum"] = "max",
    answers: Answers = "source",
    device: str = "auto",
    bf16: bool = False,
    images: int = 0,
    advance: Advance = lambda images, size: None,
) -> dict[str, Any]:
    """Score the checkpoint at `path` on a split of a version.

    In the space of the version's labels: where it is not the checkpoint's own, answers are projected by name
    (`mappings/projections` first), and with `relations` (a folder of `unify relations`) also by the graph.

    Args:
        space: has to be that of the labels; to say it is a check.
        images: at most so many, spread over the split; 0 for all.

    Returns:
        {"miou", "iou": {class: value or None}, "confusion": T rows, "pixel_accuracy", "frequency_weighted_iou",
        "sources": {name: {"miou", "pixels"}}, "space", "split", "images", "without": classes without a counterpart,
        "checkpoint", "data": digests, "step", "method", "answers"}.

    Raises:
        UnifyError: what `checkpoint.load` raises; usage (2) for a split or space that is not there; bad-artifact
            (65) for a checkpoint of other classes under the same name of a space.
    """
    from trainers import checkpoint as files
    from trainers.methods import method_named
    from unify.index import build_index
    from unify.spaces import parse_space, resolve

    loaded = files.load(path)
    target = artifact.taxonomy.space
    if space is not None and resolve(space) != target.name:
        fix = f"convert it first: unify convert {artifact.path} --space {space}"
        raise error("usage", artifact.path, f"has labels in {target.name}, not in {space}", fix)
    source = parse_space(loaded.space, str(loaded.path))
    if source.name == target.name:
        loaded.refuse_other_classes(target.names, f"{artifact.manifest.name} {artifact.manifest.version}")
    projection = None
    if source.names != target.names or relations is not None:
        projection = _projection(source, target, relations)
        if not projection.scored:
            what = f"answers in {source.name}, where no class of {target.name} has a counterpart"
            raise error("usage", loaded.path or "", what, "convert the version, or take another checkpoint")
    samples = Samples(build_index([artifact]), None)
    rows = rows_of(samples.index, split, images)
    net = files.net_of(loaded, device_named(device))
    counts = confusion_of(
        net,
        samples,
        rows,
        views=views,
        projection=projection,
        how=how,
        activation=method_named(loaded.method).activation,
        answers=answers,
        bf16=bf16,
        advance=advance,
    )
    return {
        **report(counts, target.names),
        "space": target.name,
        "split": split,
        "images": len(rows),
        "without": [] if projection is None else list(projection.missing),
        "answers": answers,
        "method": loaded.method,
        "step": loaded.step,
        "checkpoint": loaded.file_digest,
        "data": artifact.digest,
    }


def _projection(source: Any, target: Any, relations: Path | None) -> Projection:
    from unify.projection import by_name, from_graph

    if relations is None:
        return by_name(source, target)
    from unify.relation_files import open_relations
    from unify.relation_rules import to_graph

    return from_graph(to_graph(open_relations(relations)), source, target)


def device_named(name: str) -> torch.device:
    """ "auto" is the GPU if there is one. Raises `UnifyError` (usage) for a device that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as e:
        raise error("usage", "--device", f"'{name}' is not to be had here", "take cpu, or leave it out") from e
    return device

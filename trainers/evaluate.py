"""How good a net is: one confusion matrix over a split, void left out, and ratios of its sums.

Of an image, the class with the highest logit is the answer (`trainers.views`: how the net is shown it).

Which classes an answer is chosen from: those that the image's source annotates ("source"), as a net of many
datasets is scored on each dataset's own classes, or all of the space ("all").

Means of IoU: mIoU over all classes; mIoU* over those most prone to bias and mIoU† over the rarest, of the DropClass
supplement (Chu, Kim and Han, NeurIPS 2021). An absent class, neither in the truth nor predicted, is passed over
("skip", as cityscapesScripts has it) or counts as 0 ("zero", as the code of UniSeg has it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainers import metrics
from trainers.augment import stretched
from trainers.data import Sample, Samples, in_order
from trainers.metrics import Absent
from trainers.views import WHOLE, Views, logits_of
from unify.errors import Problem, UnifyError, error

if TYPE_CHECKING:
    from unify.artifact import Artifact
    from unify.draws.index import Index
    from unify.projection import Projection
    from unify.report.prediction import Prediction
    from unify.spaces import LabelSpace

Advance = Callable[[int, int], None]
Answers = Literal["source", "all"]


# --- A split ------------------------------------------------------------------------------------------------


def rows_of(index: Index, split: str, most: int = 0) -> NDArray[np.int64]:
    """Rows of a split; at most `most` of them, spread evenly (0: all).

    Raises `UnifyError` (usage) if there is none, naming the splits that there are.
    """
    rows = index.of_shards(shard.split == split for shard in index.shards)
    if not len(rows):
        known = ", ".join(sorted({shard.split for shard in index.shards})) or "none"
        raise error("usage", index.versions[0].path, f"has no image in split '{split}'", f"there is {known}")
    return spread(rows, most) if most else rows


def spread(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many of them, evenly."""
    return rows[np.arange(most) * len(rows) // most] if len(rows) > most else rows


class Answered(NamedTuple):
    """An image and what a net says of it. logits_khw: of the net's own classes, at the label's size.
    answer_hw, truth_hw: uint8, of the classes that are scored; void in the truth where nothing is."""

    sample: Sample
    logits_khw: Tensor
    answer_hw: NDArray[np.uint8]
    truth_hw: NDArray[np.uint8]


def confusion_of(
    net: nn.Module,
    samples: Samples,
    rows: NDArray[np.int64],
    *,
    views: Views = WHOLE,
    projection: Projection | None = None,
    how: Literal["max", "sum"] = "max",
    activation: str = "sigmoid",
    answers: Answers = "source",
    bf16: bool = False,
    watch: Callable[[Answered], None] = lambda answered: None,
    advance: Advance = lambda images, size: None,
) -> dict[str, NDArray[np.int64]]:
    """Source → (T, T) int64 confusion matrix, rows the truth, over these rows of whole, unaltered images.

    `projection`: from the net's classes to those of the labels; None where they are the same. `how` and
    `activation`: "sum" adds the probabilities of a class's members, "max" takes the greatest logit.
    Pixels of void, of sets of classes, and of classes that the projection leaves without a counterpart are left out.
    `watch` sees every image, before `advance(1, 0)`.
    """
    device = device_of(net)
    was_training = net.training
    net.eval()
    num_classes, num_sets = len(samples.index.classes), len(samples.members)
    unscored = np.zeros(256, np.bool_)
    if projection is not None:
        unscored[:num_classes] = [not m for m in projection.members.values()]
    counts: dict[str, NDArray[np.int64]] = {}
    try:
        for sample in in_order(samples, rows):
            label_hw = sample.label_hw.numpy()
            size_hw = (label_hw.shape[0], label_hw.shape[1])
            logits_khw = logits_of(net, sample.image_chw.to(device), size_hw, views, bf16)
            scores_thw = logits_khw
            if projection is not None:
                scores_thw = projected(logits_khw, projection, how, activation)
            if answers == "source":
                id_a = sample.allowed_k.nonzero().flatten().to(device)
                answer = id_a[scores_thw[id_a].argmax(0)]
            else:
                answer = scores_thw.argmax(0)
            answer_hw = answer.to(torch.uint8).cpu().numpy()
            truth_hw = np.where(unscored[label_hw], metrics.VOID, label_hw).astype(np.uint8)
            found = metrics.confusion_matrix(answer_hw, truth_hw, num_classes, num_sets=num_sets)
            source = samples.sources[sample.source]
            counts[source] = counts[source] + found if source in counts else found
            watch(Answered(sample, logits_khw, answer_hw, truth_hw))
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


def device_of(net: nn.Module) -> torch.device:
    """Where a net is, by its first parameter or buffer."""
    for tensor in (*net.parameters(), *net.buffers()):
        return tensor.device
    return torch.device("cpu")


# --- Ratios -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Means:
    """Which classes means of IoU are over.

    absent: what becomes of absent classes. vulnerable, rare: names of the classes of mIoU* and mIoU†; without any
    there is no such mean. of_source: source -> the classes that count in it; all without it. Only "zero" looks at it:
    a class that no source annotates is not one that was missed.
    """

    absent: Absent = "skip"
    vulnerable: tuple[str, ...] = ()
    rare: tuple[str, ...] = ()
    of_source: Mapping[str, tuple[str, ...]] | None = None


def ratios(
    confusion: NDArray[np.int64], classes: Sequence[str], means: Means = Means(), counted: Iterable[str] | None = None
) -> dict[str, Any]:
    """{"miou", "iou": {class: value or None}, "pixel_accuracy", "frequency_weighted_iou"}, and, where `means` has
    their classes, "miou_star" and "miou_dagger": None for NaN. `counted`: classes that means are over; None for all.
    """
    place = {name: i for i, name in enumerate(classes)}
    within = set(classes if counted is None else counted)

    def mean(names: Sequence[str]) -> float | None:
        ids = [place[name] for name in names if name in within]
        return _number(metrics.mean_iou(confusion, ids, absent=means.absent))

    named = {"miou_star": means.vulnerable, "miou_dagger": means.rare}
    return {
        "miou": mean(classes),
        **{key: mean(names) for key, names in named.items() if names},
        "iou": {name: _number(v) for name, v in zip(classes, metrics.class_iou(confusion).tolist(), strict=True)},
        "pixel_accuracy": _number(metrics.pixel_accuracy(confusion)),
        "frequency_weighted_iou": _number(metrics.frequency_weighted_iou(confusion)),
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def report(counts: dict[str, NDArray[np.int64]], classes: Sequence[str], means: Means = Means()) -> dict[str, Any]:
    """`ratios` of all sources together, the matrix, and the mIoU of each source."""
    total = np.sum(list(counts.values()), axis=0)
    counted = _counted(means, counts, classes)
    found = {name: ratios(c, classes, means, counted[name]) for name, c in sorted(counts.items())}
    sources = {name: {"miou": found[name]["miou"], "pixels": int(c.sum())} for name, c in sorted(counts.items())}
    every = {name for names in counted.values() for name in names}
    return {**ratios(total, classes, means, every), "sources": sources, "confusion": total.tolist()}


def _counted(means: Means, sources: Iterable[str], classes: Sequence[str]) -> dict[str, set[str]]:
    if means.absent == "skip" or means.of_source is None:
        return {source: set(classes) for source in sources}
    return {source: set(means.of_source[source]) for source in sources}


# --- A checkpoint -------------------------------------------------------------------------------------------


def evaluate(
    path: Path,
    artifact: Artifact,
    *,
    split: str = "val",
    space: str | None = None,
    classes: str | None = None,
    views: Views = WHOLE,
    stretch: int = 0,
    relations: Path | None = None,
    how: Literal["max", "sum"] = "max",
    answers: Answers = "source",
    absent: Absent = "skip",
    vulnerable: Sequence[str] = (),
    rare_by: Literal["images", "pixels"] = "images",
    device: str = "auto",
    bf16: bool = False,
    images: int = 0,
    pictures: int = 0,
    multi: Sequence[str] | None = None,
    show: Callable[[Prediction], None] = lambda prediction: None,
    advance: Advance = lambda images, size: None,
) -> dict[str, Any]:
    """Score the checkpoint at `path` on a split of a version.

    In the space of the version's labels: where it is not the checkpoint's own, answers are projected by name
    (`mappings/projections` first), and with `relations` (a folder of `unify relations`) also by the graph.

    Args:
        space: has to be that of the labels; to say it is a check.
        stretch: pixels of a square that image and label are brought to first, as instance-wise uncertainty's authors
            score; 0 scores at the label's own size.
        classes: of a net of other people (`trainers.foreign.open_net`).
        vulnerable: names of the classes of mIoU*. mIoU† is over the rarer half of the version's train split, by
            `rare_by`.
        images: at most so many, spread over the split; 0 for all.
        pictures: `show` gets so many of these images, spread over them, with what the net says.
        multi: of these pictures, which of these classes light up besides what was asked for; () for any, None for no
            such thing (`trainers.lit`).

    Returns:
        {"miou", "iou": {class: value or None}, "confusion": T rows, "pixel_accuracy", "frequency_weighted_iou",
        "miou_star" and "miou_dagger" if there are classes for them, "vulnerable" and "rare": these classes, "absent",
        "sources": {name: {"miou", "pixels"}}, "space", "split", "images", "without": classes without a counterpart,
        "checkpoint", "data": digests, "step", "method", "answers"}.

    Raises:
        UnifyError: what `open_net` raises; usage (2) for a split, space or classes that are not there; bad-artifact
            (65) for a checkpoint of other classes under the same name of a space.
    """
    from trainers.foreign import open_net
    from trainers.lit import prediction_of
    from unify.classlists import of_space, rarer
    from unify.draws.index import build_index
    from unify.spaces import resolve

    target = artifact.taxonomy.space
    if space is not None and resolve(space) != target.name:
        fix = f"convert it first: unify convert {artifact.path} --space {space}"
        raise error("usage", artifact.path, f"has labels in {target.name}, not in {space}", fix)
    of_space(tuple(vulnerable), target, "--vulnerable")
    samples = Samples(build_index([artifact]), stretched(stretch, stretch) if stretch else None)
    opened, rows = all_of(
        lambda: open_net(path, classes=classes, target=target, device=device_named(device)),
        lambda: rows_of(samples.index, split, images),
    )
    loaded, source = opened.checkpoint, opened.space
    if source.name == target.name:
        loaded.refuse_other_classes(target.names, f"{artifact.manifest.name} {artifact.manifest.version}")
    of_space(tuple(multi or ()), source, "--multi")
    projection = None
    if source.names != target.names or relations is not None:
        projection = _projection(source, target, relations)
        if not projection.scored:
            what = f"answers in {source.name}, where no class of {target.name} has a counterpart"
            raise error("usage", loaded.path or "", what, "convert the version, or take another checkpoint")
    shown = set(spread(rows, pictures).tolist()) if pictures else set()

    def watch(answered: Answered) -> None:
        if answered.sample.row in shown:
            show(prediction_of(answered, samples, target, source, projection, opened.activation, multi))

    counts = confusion_of(
        opened.net,
        samples,
        rows,
        views=views,
        projection=projection,
        how=how,
        activation=opened.activation,
        answers=answers,
        bf16=bf16,
        watch=watch,
        advance=advance,
    )
    means = Means(absent, tuple(vulnerable), rarer(artifact, rare_by), _scored(artifact, projection))
    return {
        **report(counts, target.names, means),
        "vulnerable": list(means.vulnerable),
        "rare": list(means.rare),
        "absent": absent,
        "space": target.name,
        "split": split,
        "images": len(rows),
        "stretch": stretch,
        "without": [] if projection is None else list(projection.missing),
        "answers": answers,
        "method": loaded.method,
        "step": loaded.step,
        "checkpoint": loaded.file_digest,
        "data": artifact.digest,
    }


def all_of(*ways: Callable[[], Any]) -> list[Any]:
    """What each gives. Raises `UnifyError` with the problems of all that raise it."""
    found: list[Any] = []
    problems: list[Problem] = []
    for way in ways:
        try:
            found.append(way())
        except UnifyError as e:
            problems += e.problems
    if problems:
        raise UnifyError(*problems)
    return found


def _scored(artifact: Artifact, projection: Projection | None) -> dict[str, tuple[str, ...]]:
    """Source -> the classes that it annotates and the net can answer."""
    taxonomy = artifact.taxonomy
    can = taxonomy.space.names if projection is None else projection.scored
    return {
        source: tuple(n for n, is_there in zip(taxonomy.space.names, mask, strict=True) if is_there and n in can)
        for source, mask in zip(taxonomy.sources, taxonomy.null_mask, strict=True)
    }


def _projection(source: LabelSpace, target: LabelSpace, relations: Path | None) -> Projection:
    from unify.projection import by_name, from_graph

    if relations is None:
        return by_name(source, target)
    from unify.relations.files import open_relations
    from unify.relations.rules import to_graph

    return from_graph(to_graph(open_relations(relations)), source, target)


def device_named(name: str, option: str = "--device") -> torch.device:
    """ "auto" is the GPU if there is one. Nothing is started on it.

    Raises `UnifyError` (usage), naming the `option`, for a device that is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type != "cuda":
            torch.empty(0, device=device)
        elif not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count():
            raise RuntimeError(f"there are {torch.cuda.device_count()} GPUs")
    except (RuntimeError, AssertionError) as e:
        raise error("usage", option, f"'{name}' is not to be had here", "take cpu, or leave it out") from e
    return device

"""Can a class that was dropped be had back from the features of the others? DropClass's Appendix A.

Chu, Kim and Han, NeurIPS 2021, supplement, Section A: the net is frozen (that it is frozen is implied there), class z
is always dropped, and a new classifier with random weights learns all labels, z's too, from A_drop. If the classes'
features are apart, it cannot find z. The paper shows pictures; the figures here are our reconstruction: IoU of z of
the new classifier, and beside it that of a new classifier on the same features with nothing dropped.

A net without DropClass's layer, a baseline, has no A_drop: there the new classifier learns from A_mean itself (our
reconstruction too).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from trainers import metrics
from trainers.augment import Augment
from trainers.checkpoint import load, net_of
from trainers.data import Place, Samples, normalized
from trainers.evaluate import device_named, rows_of
from trainers.ops.dropclass import class_weights, mean_weight
from unify.errors import error

if TYPE_CHECKING:
    from unify.artifact import Artifact
    from unify.draws.index import Index

Advance = Callable[[int, int], None]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Training:
    """Of the new classifiers: AdamW, the rate falling linearly; random crops of `crop` pixels of a split."""

    steps: int = 300
    batch: int = 4
    crop: int = 256
    lr: float = 1e-2
    split: str = "train"
    seed: int = 0


_TRAINING = Training()


def probe(
    path: Path,
    artifact: Artifact,
    classes: Sequence[str],
    *,
    training: Training = _TRAINING,
    split: str = "val",
    device: str = "auto",
    advance: Advance = lambda steps, size: None,
) -> tuple[dict[str, Any], Probed]:
    """The test for one checkpoint, for each of some classes; all new classifiers learn from the same crops.

    Args:
        advance: called with (1, 0) after each step, and each image of `split`.

    Returns:
        {"path": "dropclass" or "baseline", "classes": {class: {"net": its IoU, in 0..1, of the net as it is, "kept":
        of a new classifier with nothing dropped, "dropped": of one with the class dropped; None for a class that the
        split does not show}}, "miou": {"net", "kept"}, "checkpoint", "data", "steps", "split", "images"}, and what
        `draw_probes` needs.

    Raises:
        UnifyError: what `checkpoint.load` raises; bad-artifact (65) for a checkpoint of other classes; usage (2) for
            a class or split that is not there, or a net without features to read.
    """
    from unify.draws.index import build_index

    loaded = load(path)
    space = artifact.taxonomy.space
    ids = [space.index(name) for name in classes]
    loaded.refuse_other_classes(space.names, f"{artifact.manifest.name} {artifact.manifest.version}")
    net: Any = net_of(loaded, device_named(device))
    if not hasattr(net, "path"):
        raise error("usage", path, "has no features with a row of the classifier for each class", "take another net")
    index = build_index([artifact])
    rows = rows_of(index, split)
    readers = new_classifiers(net, index, [None, *ids], training, advance)
    samples = Samples(index, None)
    total = [np.zeros((len(space), len(space)), np.int64) for _ in range(2 + len(ids))]
    for row in rows.tolist():
        sample = samples[row]
        for sums, answer_hw in zip(total, answers_of(net, readers, sample.image_chw, sample.allowed_k), strict=True):
            label_hw = sample.label_hw.numpy()
            sums += metrics.confusion_matrix(answer_hw, label_hw, len(space), num_sets=len(samples.members))
        advance(1, 0)
    ious = [[None if np.isnan(v) else float(v) for v in metrics.class_iou(sums)] for sums in total]
    found = {
        name: {"net": ious[0][i], "kept": ious[1][i], "dropped": ious[2 + k][i]}
        for k, (name, i) in enumerate(zip(classes, ids, strict=True))
    }
    facts = {
        "path": "baseline" if net.path is None else "dropclass",
        "classes": found,
        "miou": {"net": metrics.mean_iou(total[0]), "kept": metrics.mean_iou(total[1])},
        "checkpoint": loaded.file_digest,
        "data": artifact.digest,
        "steps": training.steps,
        "split": split,
        "images": len(rows),
    }
    return facts, Probed(net, readers, tuple(ids))


# --- What is read -------------------------------------------------------------------------------------------


@torch.no_grad()
def kept_features(net: Any, features_bdhw: Tensor, dropped: int | None) -> Tensor:
    """A (B, D, h, w) -> A_drop of a net with DropClass's layer, A_mean of any other, where the scale is that of A."""
    rows_kd = class_weights(net.classifier)
    found: Tensor
    if net.path is not None:
        found = net.path(features_bdhw, rows_kd, dropped)
        return found
    scale_d = mean_weight(rows_kd, dropped) / mean_weight(rows_kd).mean().clamp(min=1e-12)
    return features_bdhw * scale_d[:, None, None]


@dataclass(frozen=True, slots=True)
class Reader:
    """A new classifier, of the features in which the class `dropped` is left out."""

    layer: nn.Conv2d
    dropped: int | None


@dataclass(frozen=True, slots=True)
class Probed:
    """A net in eval mode, its new classifiers (the first with nothing dropped), and the classes they are for."""

    net: Any
    readers: Sequence[Reader]
    ids: tuple[int, ...]


def new_classifiers(
    net: Any, index: Index, dropped: Sequence[int | None], training: Training, advance: Advance
) -> list[Reader]:
    """1x1 convolutions of the same random weights, trained on the frozen net's features with a class left out."""
    rows = rows_of(index, training.split)
    samples = Samples(index, Augment((training.crop, training.crop)), seed=training.seed)
    rng = np.random.default_rng(training.seed)
    device = next(net.parameters()).device
    readers = []
    for class_id in dropped:
        with torch.random.fork_rng():
            torch.manual_seed(training.seed)
            readers.append(Reader(nn.Conv2d(net.channels, len(index.classes), 1).to(device), class_id))
    optimizer = torch.optim.AdamW([w for reader in readers for w in reader.layer.parameters()], training.lr)
    for step in range(training.steps):
        for group in optimizer.param_groups:
            group["lr"] = training.lr * (1 - step / training.steps)
        chosen = enumerate(rng.choice(rows, training.batch).tolist(), step * training.batch)
        drawn = [samples[Place(number, row, -1, -1)] for number, row in chosen]
        images = normalized(torch.stack([one.image_chw for one in drawn]).to(device))
        labels_bhw = torch.stack([one.label_hw for one in drawn]).to(device).long()
        labels_bhw = torch.where(labels_bhw < len(index.classes), labels_bhw, metrics.VOID)
        pixels = (labels_bhw != metrics.VOID).sum().clamp(min=1)
        with torch.no_grad():
            features, _ = net._features(images)
        optimizer.zero_grad()
        for reader in readers:
            logits = net._enlarged(reader.layer(kept_features(net, features, reader.dropped)), images)
            loss = F.cross_entropy(logits, labels_bhw, ignore_index=metrics.VOID, reduction="sum") / pixels
            loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        advance(1, 0)
    return readers


@torch.inference_mode()
def answers_of(net: Any, readers: Sequence[Reader], image_chw: Tensor, allowed_k: Tensor) -> list[Bytes]:
    """(H, W) class ids: of the net itself, then of each new classifier."""
    device = next(net.parameters()).device
    images = normalized(image_chw[None].to(device))
    id_a = allowed_k.nonzero().flatten().to(device)
    features, _ = net._features(images)
    maps = [net.classifier(net._through(features))]
    maps += [reader.layer(kept_features(net, features, reader.dropped)) for reader in readers]
    found = [id_a[net._enlarged(logits, images)[0, id_a].argmax(0)] for logits in maps]
    return [np.asarray(answer.to(torch.uint8).cpu().numpy()) for answer in found]


# --- The picture --------------------------------------------------------------------------------------------


def draw_probes(probed: Mapping[str, Probed], artifact: Artifact, *, split: str = "val") -> Any:
    """The picture of Figure A-1 (a Pillow image), for some nets by name and the same classes of each.

    A column for each class: the image that shows the most of it, the net's output, that of the new classifier with
    nothing dropped, and of the one with the class dropped. The largest area of the class is framed.
    """
    from unify.draws.index import build_index
    from unify.report.cases import Case, Panel, draw_cases, largest_area

    samples = Samples(build_index([artifact]), None)
    space = artifact.taxonomy.space
    palette = space.palette()
    rows = rows_of(samples.index, split)
    ids = next(iter(probed.values())).ids
    pixels_rk = np.array([np.bincount(samples[row].label_hw.numpy().ravel(), minlength=256) for row in rows.tolist()])
    shown = rows[pixels_rk[:, ids].argmax(0)].tolist()
    cases = []
    for name, one in probed.items():
        columns, seen = [], set()
        for k, row in enumerate(shown):
            sample = samples[row]
            box = largest_area(sample.label_hw.numpy() == ids[k])
            own, kept, *dropped = answers_of(one.net, one.readers, sample.image_chw, sample.allowed_k)
            image_hwc = np.ascontiguousarray(sample.image_chw.numpy().transpose(1, 2, 0))
            outputs = [palette[answer_hw] for answer_hw in (own, kept, dropped[k])]
            columns.append([Panel(one_hwc, box) for one_hwc in (image_hwc, *outputs)])
            seen |= set(np.unique(np.stack([own, kept, dropped[k]])).tolist())
        cases.append(Case(name, columns, tuple(sorted(seen))))
    heads = [f"{space.names[i]} dropped" for i in ids]
    return draw_cases(cases, "What is left of a dropped class", heads, ["image", "net", "new", "dropped"], space)

"""One look of a net at a labelled split: the sums that influences between classes follow from (`unify.influence`).

What it costs, by erasing: of each image one forward pass as it is, and one for each class that it shows, in which
that class's pixels are filled in. A pass serves all other classes of the image at once, and where a class is not
shown nothing changes, so nothing is done: images x (1 + classes shown) passes instead of images x (1 + K). Every
image is decoded once. By gradient: a forward pass for each image, and a backward pass for each class that it shows.
The cosine needs no image.

Images are filled in as `unify erase` does it, bit for bit, so that the figures are those of the sets it makes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainers import metrics
from trainers.checkpoint import load, net_of
from trainers.data import Samples, in_order, normalized
from trainers.evaluate import device_named, device_of, rows_of
from trainers.ops.dropclass import class_weights
from unify.erase import ERASED, FILLS
from unify.errors import error
from unify.influence import FOLDS, By, Floats, Influences, Over, empty_sums
from unify.relations.evidence import fold_of

if TYPE_CHECKING:
    from unify.artifact import Artifact

Advance = Callable[[int, int], None]
Bytes = NDArray[np.uint8]
_OTHERWISE = "measure by erase or gradient"


def influence_of(
    model: Path,
    artifact: Artifact | None,
    *,
    by: By = "erase",
    fill: str = "mean",
    over: Over = "all",
    split: str = "val",
    images: int = 0,
    batch: int = 4,
    device: str = "auto",
    bf16: bool = False,
    classes: str | None = None,
    advance: Advance = lambda images, size: None,
) -> Influences:
    """Influences between the classes of a version in the answers of the net at `model`, over a split of it.

    Args:
        artifact: the version; None for `by="cosine"`, which looks at none.
        fill: a key of `unify.erase.FILLS`. over: see `unify.influence.Influences`.
        images: at most so many, spread over the split; 0 for all.
        batch: variants of an image that the net sees at once.
        classes: of a net of other people (`trainers.foreign.open_net`).
        advance: called with (1, 0) after each image.

    Raises:
        UnifyError: what `checkpoint.load` (cosine) and `trainers.foreign.open_for` raise; usage (2) for a split that
            is not there, or a net whose classifier has no row for each class (cosine).
    """
    from trainers.foreign import is_foreign, open_for

    if by == "cosine":
        if is_foreign(model):
            raise error("usage", model, "is of other people, where no row of weights is known", _OTHERWISE)
        loaded = load(model)
        sums = {"cosine": cosines(net_of(loaded, device_named(device)), len(loaded.classes))[None]}
        return Influences(by, loaded.classes, sums, {}, {"checkpoint": loaded.file_digest})
    assert artifact is not None
    from unify.draws.index import build_index

    names = artifact.taxonomy.space.names
    loaded, net = open_for(model, artifact, classes=classes, device=device_named(device))
    samples = Samples(build_index([artifact]), None)
    rows = rows_of(samples.index, split, images)
    sums = empty_sums(by, len(names))
    for sample in in_order(samples, rows):
        sample_id = str(samples.index.sample_id[sample.row])
        image_chw, label_hw = sample.image_chw.numpy(), sample.label_hw.numpy()
        if by == "erase":
            found = erase_sums(net, image_chw, label_hw, sample.allowed_k, fill, sample_id, batch, bf16)
        else:
            found = gradient_sums(net, sample.image_chw, sample.label_hw, len(names))
        for name, array in found.items():
            sums[name][fold_of(sample_id, FOLDS)] += array
        advance(1, 0)
    settings: dict[str, str | int] = {"split": split, "images": len(rows)}
    if by == "erase":
        settings |= {"fill": fill, "over": over}
    return Influences(by, names, sums, settings, {"checkpoint": loaded.file_digest, "data": artifact.digest}, over)


# --- By erasing -----------------------------------------------------------------------------------------------


def erase_sums(
    net: nn.Module,
    image_chw: Bytes,
    label_hw: Bytes,
    allowed_k: Tensor,
    fill: str,
    sample_id: str,
    batch: int = 4,
    bf16: bool = False,
) -> dict[str, Floats]:
    """The fields of `unify.influence.FIELDS["erase"]`, (K, K) [j, c], of one image (3, H, W) and its label codes."""
    num_classes = len(allowed_k)
    present = [k for k in np.unique(label_hw).tolist() if k < num_classes]
    image_hwc = np.ascontiguousarray(image_chw.transpose(1, 2, 0))
    variants = [image_hwc] + [erased(image_hwc, label_hw, [j], fill, sample_id) for j in present]
    answers = answers_of(net, variants, allowed_k, batch, bf16)
    truth_hw = np.where(label_hw < num_classes, label_hw, metrics.VOID).astype(np.uint8)
    before_kk = metrics.confusion_matrix(answers[0], truth_hw, num_classes).astype(np.float64)
    pixels, hit = before_kk.sum(1), before_kk.diagonal()
    wrong = before_kk.sum(0) - hit
    found = {name: array[0] for name, array in empty_sums("erase", num_classes, 1).items()}
    for answer_hw, j in zip(answers[1:], present, strict=True):
        without_hw = np.where(truth_hw == j, metrics.VOID, truth_hw).astype(np.uint8)
        after_kk = metrics.confusion_matrix(answer_hw, without_hw, num_classes).astype(np.float64)
        others = np.array([c for c in present if c != j], np.int64)
        found["images"][j, others] = 1
        found["pixels"][j, others] = pixels[others]
        found["hit"][j, others] = hit[others]
        found["wrong"][j, others] = wrong[others]
        found["on_j"][j, others] = before_kk[j, others]
        found["hit_erased"][j, others] = after_kk.diagonal()[others]
        found["wrong_erased"][j, others] = (after_kk.sum(0) - after_kk.diagonal())[others]
    return found


def erased(image_hwc: Bytes, label_hw: Bytes, ids: Sequence[int], fill: str, sample_id: str) -> Bytes:
    """A copy in which the pixels of the classes `ids` are filled in, as in a set of `unify erase`."""
    mask_hw = np.where(np.isin(label_hw, ids), ERASED, 0).astype(np.uint8)
    filling = FILLS[fill](image_hwc, mask_hw, sample_id)
    return np.where(mask_hw[:, :, None] == ERASED, filling, image_hwc)


@torch.inference_mode()
def answers_of(
    net: nn.Module, images_hwc: Sequence[Bytes], allowed_k: Tensor, batch: int, bf16: bool = False
) -> list[Bytes]:
    """(H, W) of class ids for each of some images of one size: the allowed class with the highest logit."""
    device = device_of(net)
    was_training = net.training
    net.eval()
    id_a = allowed_k.nonzero().flatten().to(device)
    found: list[Bytes] = []
    try:
        for start in range(0, len(images_hwc), batch):
            part = np.stack(images_hwc[start : start + batch]).transpose(0, 3, 1, 2)
            x_bchw = normalized(torch.from_numpy(np.ascontiguousarray(part)).to(device))
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                logits_bkhw = net(x_bchw)
            answer_bhw = id_a[logits_bkhw.float()[:, id_a].argmax(1)]
            found += list(answer_bhw.to(torch.uint8).cpu().numpy())
    finally:
        net.train(was_training)
    return found


# --- Otherwise ------------------------------------------------------------------------------------------------


def gradient_sums(net: nn.Module, image_chw: Tensor, label_hw: Tensor, num_classes: int) -> dict[str, Floats]:
    """ "images" and "mass", (K, K) [j, c], of one image: the share of |gradient| that lies on j's pixels."""
    device = device_of(net)
    label_n = label_hw.flatten().long().to(device)
    present = [k for k in torch.unique(label_n).tolist() if k < num_classes]
    found = {name: array[0] for name, array in empty_sums("gradient", num_classes, 1).items()}
    x_bchw = normalized(image_chw[None].to(device)).requires_grad_()
    with torch.enable_grad():
        logits_kn = net(x_bchw)[0].float().flatten(1)
        means = [logits_kn[c, label_n == c].mean() for c in present]
    for c, mean in zip(present, means, strict=True):
        (slope,) = torch.autograd.grad(mean, x_bchw, retain_graph=True)
        size_n = slope[0].abs().sum(0).flatten().double()
        mass_k = torch.zeros(256, dtype=torch.float64, device=device).index_add_(0, label_n, size_n)[:num_classes]
        mass_k[c] = 0.0
        total = float(mass_k.sum())
        for j in present:
            if j != c:
                found["images"][j, c] = 1
                found["mass"][j, c] = float(mass_k[j]) / total if total else 0.0
    return found


def cosines(net: Any, num_classes: int) -> Floats:
    """(K, K): between the rows of the net's classifier.

    Raises `UnifyError` (usage) for a net without such a classifier.
    """
    classifier = getattr(net, "classifier", None)
    weight = getattr(classifier, "weight", None)
    if not isinstance(classifier, nn.Module) or not isinstance(weight, Tensor) or len(weight) != num_classes:
        what = "the net's classifier has no row of weights for each class"
        raise error("usage", "--by", what, _OTHERWISE)
    rows_kd = class_weights(classifier).detach().double()
    rows_kd = rows_kd / rows_kd.norm(dim=1, keepdim=True).clamp(min=1e-300)
    return np.asarray((rows_kd @ rows_kd.T).cpu().numpy())

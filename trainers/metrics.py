"""Scores of predictions: one confusion matrix over everything, and ratios of its sums. NumPy only.

Counts first, ratios last: an IoU is that of all pixels of a split together, never a mean over images. Rows of a
confusion matrix are the truth, columns the prediction, as in cityscapesScripts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unify.errors import error

VOID = 255
_NO_BYTE = 254
Confusion = NDArray[np.int64]
Absent = Literal["skip", "zero"]


# --- Counts -------------------------------------------------------------------------------------------------


def confusion_matrix(
    prediction: NDArray[Any], truth: NDArray[Any], num_classes: int, *, void: int = VOID, num_sets: int = 0
) -> Confusion:
    """(K, K) int64: pixels by true class (row) and predicted class (column). Matrices of several images add up.

    Args:
        prediction: class ids 0..K-1, integers of any shape. What is predicted for left-out pixels is not looked at.
        truth: the same shape: class ids, `void`, and codes K..K+num_sets-1 (sets of classes). Pixels of the latter
            two are left out.

    Raises:
        UnifyError: usage (2) for floats, or more than 254 classes and sets; size-mismatch (65) for different
            shapes; unknown-id (65) for any other value.
    """
    if prediction.shape != truth.shape:
        what = f"a prediction of {prediction.shape} for a truth of {truth.shape}"
        raise error("size-mismatch", "", what, "predict at the size of the label")
    if prediction.dtype.kind not in "ui" or truth.dtype.kind not in "ui":
        what = f"{prediction.dtype} predictions and {truth.dtype} labels where class ids are due"
        raise error("usage", "", what, "give integers: argmax first")
    if num_classes + num_sets > _NO_BYTE:
        raise error("usage", "", f"{num_classes} classes and {num_sets} sets", f"8-bit labels have {_NO_BYTE} at most")
    pairs = np.zeros((256, 256), np.int64)
    _compiled_count_pairs()(_bytes(truth), _bytes(prediction), pairs)
    pairs[void] = 0
    pairs[num_classes : num_classes + num_sets] = 0
    counts = pairs[:num_classes, :num_classes].copy()
    for whose, pixels in (("truth", pairs[num_classes:].sum()), ("prediction", pairs[:, num_classes:].sum())):
        if pixels:
            wanted = f"0..{num_classes - 1}" + (f" or {void}" if whose == "truth" else "")
            what = f"{pixels} pixels of the {whose} are not {wanted}"
            raise error("unknown-id", "", what, "evaluate in the space of the labels")
    return counts


def _bytes(ids: NDArray[Any]) -> NDArray[np.uint8]:
    """Flat, contiguous, uint8; what is no byte becomes 254, which is a class of no label space so large."""
    if ids.dtype != np.uint8:
        ids = np.where((ids < 0) | (ids > VOID), _NO_BYTE, ids)
    return np.ascontiguousarray(ids, np.uint8).reshape(-1)


def count_pairs(truth: NDArray[np.uint8], prediction: NDArray[np.uint8], pairs: Confusion) -> None:
    """Adds to `pairs` (256, 256). A plain loop: what `confusion_matrix` runs is this function compiled."""
    for i in range(truth.size):
        pairs[truth[i], prediction[i]] += 1


@cache
def _compiled_count_pairs() -> Callable[[NDArray[np.uint8], NDArray[np.uint8], Confusion], None]:
    from unify.kernels.compiled import kernel  # numba, which nothing else here needs

    return kernel("void(u1[::1], u1[::1], i8[:,::1])")(count_pairs)


# --- Ratios -------------------------------------------------------------------------------------------------


def class_iou(confusion: Confusion) -> NDArray[np.float64]:
    """(K,) in 0..1: TP / (TP + FP + FN) of each class, as cityscapesScripts and the VOC devkit define it.

    NaN for an absent class, one that is neither in the truth nor predicted. A class that is predicted but not in the
    truth has an IoU of 0.
    """
    hit = confusion.diagonal()
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - hit
    return _ratio(hit, union)


def mean_iou(confusion: Confusion, classes: Sequence[int] | None = None, *, absent: Absent = "skip") -> float:
    """Mean IoU over `classes`, or all: mIoU; over the classes most prone to bias mIoU*, over the rarest mIoU†.

    mIoU* and mIoU† are those of the DropClass supplement (Chu, Kim and Han, NeurIPS 2021); which classes they are of
    comes from elsewhere (`unify.classlists`). Summed in the order of classes, as cityscapesScripts does it.

    `absent`: what becomes of absent classes. "skip", as cityscapesScripts does it, or "zero", as the code of UniSeg
    (Kim et al., ECCV 2022) does. NaN without a class that counts.
    """
    iou = class_iou(confusion)
    chosen = iou if classes is None else iou[np.asarray(classes, np.int64)]
    if absent == "zero":
        chosen = np.nan_to_num(chosen)
    counted = chosen[~np.isnan(chosen)]
    if not len(counted):
        return float("nan")
    return float(np.cumsum(counted)[-1] / len(counted))  # one after the other: neither mean() nor sum() does that


def frequency_weighted_iou(confusion: Confusion) -> float:
    """IoU of each class weighted by its share of the true pixels (Long, Shelhamer and Darrell, CVPR 2015)."""
    pixels = confusion.sum(axis=1)
    total = int(pixels.sum())
    return float(np.nan_to_num(class_iou(confusion)) @ pixels / total) if total else float("nan")


def pixel_accuracy(confusion: Confusion) -> float:
    """Share of the labelled pixels whose class is right. NaN without any."""
    total = int(confusion.sum())
    return float(confusion.trace() / total) if total else float("nan")


def class_accuracy(confusion: Confusion) -> NDArray[np.float64]:
    """(K,) in 0..1: share of each class's true pixels that are predicted as it; NaN for classes without any."""
    pixels = confusion.sum(axis=1)
    return _ratio(confusion.diagonal(), pixels)


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """part / whole, and NaN where `whole` is 0."""
    ratio: NDArray[np.float64] = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return ratio

"""Scores: against the evaluator of cityscapesScripts, rewritten from its definition, and against torchmetrics."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from trainers import metrics
from trainers.metrics import (
    class_accuracy,
    class_iou,
    confusion_matrix,
    frequency_weighted_iou,
    mean_iou,
    pixel_accuracy,
)
from unify.errors import UnifyError

K = 19


def random_pair(seed: int, classes=K, shape=(37, 53), void_share=0.2, right=0.6):
    rng = np.random.default_rng(seed)
    truth = rng.choice(np.arange(classes - 2), shape).astype(np.uint8)  # two classes are in no truth
    prediction = np.where(rng.random(shape) < right, truth, rng.integers(0, classes - 1, shape)).astype(np.uint8)
    truth[rng.random(shape) < void_share] = 255
    return prediction, truth


def cityscapes_scores(pairs, classes: int, ignored: tuple[int, ...] = (255,)) -> list[float]:
    """evalPixelLevelSemanticLabeling.py: a dict of (truth, prediction) counts, then its three sums for each label.

    tp: the pair (label, label). fn: its row without tp. fp: its column over labels that are not ignored, without tp.
    NaN where tp + fp + fn is 0.
    """
    pairs_of: dict[tuple[int, int], int] = {}
    for prediction, truth in pairs:
        for p, t in zip(prediction.ravel().tolist(), truth.ravel().tolist(), strict=True):
            pairs_of[t, p] = pairs_of.get((t, p), 0) + 1
    labels = [*range(classes), *ignored]
    scores = []
    for label in range(classes):
        tp = pairs_of.get((label, label), 0)
        fn = sum(pairs_of.get((label, p), 0) for p in labels) - tp
        fp = sum(pairs_of.get((t, label), 0) for t in labels if t not in ignored and t != label)
        denominator = tp + fp + fn
        scores.append(tp / denominator if denominator else float("nan"))
    return scores


@pytest.mark.parametrize("seed", range(3))
def test_iou_equals_cityscapes_scripts_to_the_last_digit(seed):
    pairs = [random_pair(10 * seed + i) for i in range(3)]
    confusion = sum(confusion_matrix(p, t, K) for p, t in pairs)
    expected = cityscapes_scores(pairs, K)
    found = class_iou(confusion).tolist()
    assert [f for f in found if f == f] == [e for e in expected if e == e]
    assert [f == f for f in found] == [e == e for e in expected]
    present = [e for e in expected if e == e]
    assert mean_iou(confusion) == pytest.approx(sum(present) / len(present), rel=1e-15)
    assert len(present) == K - 1, "a class is neither in the truth nor predicted, and one is only predicted"
    assert found[K - 2] == 0


@pytest.mark.parametrize("dtypes", [("u1", "u1"), ("i8", "u1"), ("u1", "i8"), ("i4", "u2")])
def test_the_matrix_by_a_loop(dtypes):
    prediction, truth = random_pair(5)
    prediction, truth = prediction.astype(dtypes[0]), truth.astype(dtypes[1])
    expected = np.zeros((K, K), np.int64)
    for p, t in zip(prediction.ravel(), truth.ravel(), strict=True):
        if t != 255:
            expected[t, p] += 1
    found = confusion_matrix(prediction, truth, K)
    assert found.dtype == np.int64 and np.array_equal(found, expected)
    assert np.array_equal(confusion_matrix(prediction[:, ::2], truth[:, ::2], K).sum(), (truth[:, ::2] != 255).sum())


def test_sets_are_left_out_like_void():
    truth, prediction = np.array([0, 1, 3, 4, 255], np.uint8), np.array([0, 1, 0, 1, 77], np.uint8)
    assert np.array_equal(confusion_matrix(prediction, truth, 3, num_sets=2), np.diag([1, 1, 0]))
    with pytest.raises(UnifyError, match=r"unknown-id: 1 pixels of the truth are not 0\.\.2 or 255"):
        confusion_matrix(prediction, truth, 3, num_sets=1)


def test_scores_by_hand():
    confusion = np.array([[6, 2, 0, 0], [1, 3, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert class_iou(confusion)[:2].tolist() == [6 / 9, 3 / 6] and np.isnan(class_iou(confusion)[2:]).all()
    assert mean_iou(confusion) == pytest.approx((6 / 9 + 3 / 6) / 2)
    assert mean_iou(confusion, absent="zero") == pytest.approx((6 / 9 + 3 / 6) / 4)
    assert mean_iou(confusion, [1, 3]) == 0.5 and mean_iou(confusion, [1, 3], absent="zero") == 0.25
    assert math.isnan(mean_iou(confusion, [2])) and mean_iou(confusion, [2], absent="zero") == 0
    assert frequency_weighted_iou(confusion) == pytest.approx(8 / 12 * 6 / 9 + 4 / 12 * 3 / 6)
    assert pixel_accuracy(confusion) == 9 / 12
    assert class_accuracy(confusion)[:2].tolist() == [6 / 8, 3 / 4] and np.isnan(class_accuracy(confusion)[2:]).all()


def test_scores_of_nothing_are_nan():
    nothing = confusion_matrix(np.zeros(3, np.uint8), np.full(3, 255, np.uint8), 2)
    assert all(math.isnan(score(nothing)) for score in (mean_iou, frequency_weighted_iou, pixel_accuracy))


def test_what_is_refused():
    ids = np.zeros(4, np.uint8)
    with pytest.raises(UnifyError, match=r"unknown-id: 4 pixels of the prediction are not 0\.\.2"):
        confusion_matrix(ids + 3, ids, 3)
    for stray in (-1, 256, 1000, 254, 3):
        with pytest.raises(UnifyError, match="unknown-id: 4 pixels of the truth"):
            confusion_matrix(ids, np.full(4, stray), 3)
        with pytest.raises(UnifyError, match="unknown-id: 4 pixels of the prediction"):
            confusion_matrix(np.full(4, stray), ids, 3)
    with pytest.raises(UnifyError, match="size-mismatch"):
        confusion_matrix(ids, ids[:3], 3)
    with pytest.raises(UnifyError, match="argmax first"):
        confusion_matrix(ids.astype(float), ids, 3)
    with pytest.raises(UnifyError, match="254 at most"):
        confusion_matrix(ids, ids, 255)


def test_equal_to_torchmetrics():
    torchmetrics = pytest.importorskip("torchmetrics")
    torch = pytest.importorskip("torch")
    pairs = [random_pair(i) for i in range(3)]
    confusion = sum(confusion_matrix(p, t, K) for p, t in pairs)
    theirs = torchmetrics.classification.MulticlassConfusionMatrix(K, ignore_index=255)
    index = torchmetrics.classification.MulticlassJaccardIndex(K, ignore_index=255, average="none")
    for p, t in pairs:
        theirs.update(torch.from_numpy(p).long(), torch.from_numpy(t).long())
        index.update(torch.from_numpy(p).long(), torch.from_numpy(t).long())
    assert np.array_equal(confusion, theirs.compute().numpy())
    iou = class_iou(confusion)
    assert np.nan_to_num(iou) == pytest.approx(index.compute().numpy(), abs=1e-6)


def test_metrics_work_without_torch():
    code = "import sys, trainers.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert metrics.VOID == 255

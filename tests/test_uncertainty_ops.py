"""Components and instance-wise uncertainty against flood fill, OpenCV, and the equations in plain Python."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from trainers.ops import uncertainty_reference  # noqa: E402
from trainers.ops.components import components  # noqa: E402
from trainers.ops.uncertainty import (  # noqa: E402
    MAPS,
    class_uncertainty,
    instance_uncertainty,
    mean_softmax,
    predictive_entropy,
    shuffled_uncertainty,
    weights_of,
)


def flooded(id_hw) -> np.ndarray:
    """(H, W) int: the component of each pixel, numbered by first pixel, by flood fill over eight neighbours."""
    height, width = id_hw.shape
    number_hw = np.full(id_hw.shape, -1)
    count = 0
    for start in np.ndindex(height, width):
        if number_hw[start] >= 0:
            continue
        number_hw[start], stack = count, [start]
        while stack:
            y, x = stack.pop()
            for near in np.ndindex(3, 3):
                v, u = y + near[0] - 1, x + near[1] - 1
                if 0 <= v < height and 0 <= u < width and number_hw[v, u] < 0 and id_hw[v, u] == id_hw[y, x]:
                    number_hw[v, u] = count
                    stack.append((v, u))
        count += 1
    return number_hw


def blobs(rng, height, width, classes, grain) -> np.ndarray:
    """Areas of some `grain` pixels, with ragged edges."""
    small = rng.random((classes, max(1, height // grain), max(1, width // grain))).astype(np.float32)
    large = np.stack([cv2.resize(s, (width, height), interpolation=cv2.INTER_CUBIC) for s in small])
    return (large + 0.1 * rng.random(large.shape)).argmax(0).astype(np.uint8)


#: Shapes that break simple ways: spirals and combs that meet late, corners alone, one pixel, one row, one column.
SPIRAL = np.array([[c == "#" for c in row] for row in (
    "#########", "........#", "#######.#", "#.....#.#", "#.###.#.#", "#.#...#.#", "#.#####.#", "#.......#", "#########",
)], np.uint8)  # fmt: skip
COMB = np.array([[1, 0] * 40 + [1]] * 5 + [[1] * 81], np.uint8)
SHAPES = {
    "spiral": SPIRAL,
    "spiral mirrored": SPIRAL[:, ::-1],
    "comb": COMB,
    "comb upside down": COMB[::-1],
    "chessboard": (np.indices((9, 130)).sum(0) % 2).astype(np.uint8),
    "diagonals": (np.subtract(*np.indices((70, 90))) % 3).astype(np.uint8),
    "other diagonals": (np.add(*np.indices((70, 90))) % 3).astype(np.uint8),
    "a pixel": np.full((1, 1), 255, np.uint8),
    "a row": np.array([[3, 3, 4, 3] * 40], np.uint8),
    "a column": np.array([[3, 3, 4, 3] * 40], np.uint8).T,
    "one id": np.full((65, 129), 7, np.uint8),
    "64 wide": (np.indices((5, 64)).sum(0) // 3 % 4).astype(np.uint8),
    "65 wide": (np.indices((5, 65)).sum(0) // 3 % 4).astype(np.uint8),
}


@pytest.mark.parametrize("id_hw", SHAPES.values(), ids=SHAPES)
def test_components_are_those_of_flood_fill(id_hw):
    found, expected = components(id_hw), flooded(id_hw)
    assert np.array_equal(found.numbers(), expected)
    assert len(found) == expected.max() + 1
    assert [int(id_hw[expected == i][0]) for i in range(len(found))] == found.id_c.tolist()


@pytest.mark.parametrize("seed", range(12))
def test_components_of_random_maps_are_those_of_flood_fill(seed):
    rng = np.random.default_rng(seed)
    height, width = int(rng.integers(1, 80)), int(rng.integers(1, 200))
    id_hw = blobs(rng, height, width, 4, 8) if seed % 2 else rng.integers(0, 3, (height, width)).astype(np.uint8)
    assert np.array_equal(components(id_hw).numbers(), flooded(id_hw))


def test_a_view_with_strides_is_read_as_what_it_shows():
    id_hw = blobs(np.random.default_rng(0), 90, 300, 5, 16)[::2, ::3]
    assert not id_hw.flags.c_contiguous and np.array_equal(components(id_hw).numbers(), flooded(id_hw))


@pytest.mark.parametrize("classes", [2, 19, 256])
def test_uncertainty_is_that_of_opencv_class_by_class_bit_for_bit(classes):
    rng = np.random.default_rng(classes)
    prediction_hw = blobs(rng, 300, 417, classes, 32)
    entropy_hw = (rng.random(prediction_hw.shape) * math.log(classes)).astype(np.float32)
    ours = instance_uncertainty(entropy_hw, prediction_hw)
    assert ours.dtype == np.float32
    assert np.array_equal(ours, uncertainty_reference.instance_uncertainty(entropy_hw, prediction_hw))


def test_sums_are_added_up_in_the_order_of_rows():
    """Means are float64, and bit for bit those of np.bincount, which adds pixel after pixel."""
    rng = np.random.default_rng(0)
    prediction_hw = blobs(rng, 200, 300, 4, 64)
    entropy_hw = (10 ** rng.uniform(-9, 0, prediction_hw.shape)).astype(np.float32)
    found = components(prediction_hw)
    number_n = found.numbers().ravel()
    means, sizes = found.means(entropy_hw)
    assert np.array_equal(sizes, np.bincount(number_n))
    assert np.array_equal(means, np.bincount(number_n, entropy_hw.ravel()) / sizes)


def test_a_mean_is_exact_where_float32_sums_would_not_be():
    entropy_hw = np.full((2000, 2100), 0.1, np.float32)  # float32 sums of 4.2 million of these are off by far
    assert np.abs(np.cumsum(entropy_hw, dtype=np.float32)[-1] / entropy_hw.size - 0.1) > 1e-4
    assert (instance_uncertainty(entropy_hw, np.zeros(entropy_hw.shape, np.uint8)) == np.float32(0.1)).all()


def test_weights_are_those_of_a_literal_implementation():
    """Softmax, mean, entropy, components, means and weights, each in plain Python."""
    rng = np.random.default_rng(3)
    members, classes, height, width = 3, 5, 12, 17
    logits = rng.normal(0, 3, (members, classes, height, width))
    p = np.zeros((classes, height, width))
    for member in logits:
        for y, x in np.ndindex(height, width):
            powers = [math.exp(v) for v in member[:, y, x]]
            p[:, y, x] += [v / sum(powers) / members for v in powers]
    entropy = [[-sum(q * math.log(q + 1e-10) for q in p[:, y, x]) for x in range(width)] for y in range(height)]
    prediction_hw = p.argmax(0).astype(np.uint8)
    number_hw = flooded(prediction_hw)
    expected = np.zeros((height, width))
    for i in range(number_hw.max() + 1):
        inside = number_hw == i
        expected[inside] = (1 + np.mean([entropy[y][x] for y, x in np.argwhere(inside)])) ** 2

    p_bkhw = mean_softmax([torch.tensor(member[None], dtype=torch.float32) for member in logits])
    found = weights_of(instance_uncertainty(predictive_entropy(p_bkhw)[0].numpy(), p_bkhw[0].argmax(0).byte().numpy()))
    assert np.abs(found - expected).max() < 1e-6 * expected.max()


@pytest.mark.parametrize("classes", [2, 19, 70])
def test_weights_lie_between_1_and_the_square_of_1_plus_ln_k(classes):
    sure = torch.full((1, classes, 2, 2), -100.0)
    sure[:, 0] = 100.0
    unsure = torch.zeros(1, classes, 2, 2)
    low, high = (weights_of(predictive_entropy(mean_softmax([x]))).unique() for x in (sure, unsure))
    assert low.tolist() == pytest.approx([1], abs=1e-6)
    assert high.tolist() == pytest.approx([(1 + math.log(classes)) ** 2], rel=1e-6)
    # Members that are sure, each of another class, are unsure together.
    torn = predictive_entropy(mean_softmax([sure, sure.roll(1, 1)]))
    assert torn.unique().tolist() == pytest.approx([math.log(2)], rel=1e-6)


def test_no_gradient_goes_through():
    logits = torch.randn(1, 4, 3, 3, requires_grad=True)
    assert not predictive_entropy(mean_softmax([logits, logits])).requires_grad


def test_members_of_other_types_are_averaged_in_float32():
    x = torch.randn(1, 6, 4, 5)
    assert mean_softmax([x.bfloat16(), x]).dtype == torch.float32
    assert torch.allclose(mean_softmax([x.bfloat16()]), x.bfloat16().float().softmax(1))


# --- Controls -----------------------------------------------------------------------------------------------


@pytest.fixture
def scene():
    rng = np.random.default_rng(9)
    prediction_hw = blobs(rng, 60, 80, 6, 16)
    label_hw = np.roll(prediction_hw, 5, 1)
    return rng.random((60, 80)).astype(np.float32), prediction_hw, label_hw


def test_class_uncertainty_is_the_mean_of_each_class(scene):
    entropy_hw, prediction_hw, _ = scene
    found = class_uncertainty(entropy_hw, prediction_hw)
    for class_id in np.unique(prediction_hw):
        inside = prediction_hw == class_id
        assert np.allclose(found[inside], entropy_hw[inside].mean(dtype=np.float64), rtol=1e-6)


def test_shuffled_uncertainty_has_the_same_values_elsewhere(scene):
    entropy_hw, prediction_hw, _ = scene
    number_hw = flooded(prediction_hw)
    first = [np.flatnonzero(number_hw == i)[0] for i in range(number_hw.max() + 1)]
    true = instance_uncertainty(entropy_hw, prediction_hw).ravel()[first]
    found = shuffled_uncertainty(entropy_hw, prediction_hw, np.random.default_rng(0))
    for i in range(number_hw.max() + 1):
        assert len(np.unique(found[number_hw == i])) == 1
    assert sorted(found.ravel()[first]) == sorted(true) and not np.array_equal(found.ravel()[first], true)
    again = shuffled_uncertainty(entropy_hw, prediction_hw, np.random.default_rng(0))
    assert np.array_equal(found, again)


def test_each_control_differs_from_the_method_in_what_it_says(scene):
    entropy_hw, prediction_hw, label_hw = scene
    found = {name: make(*scene, np.random.default_rng(0)) for name, make in MAPS.items()}
    assert np.array_equal(found["instance"], instance_uncertainty(entropy_hw, prediction_hw))
    assert np.array_equal(found["truth"], instance_uncertainty(entropy_hw, label_hw))
    assert np.array_equal(found["pixel"], entropy_hw)
    # The mean over the image is the entropy's, but for what is dealt out again.
    for name in ("instance", "truth", "pixel", "class"):
        assert found[name].mean(dtype=np.float64) == pytest.approx(entropy_hw.mean(dtype=np.float64), rel=1e-6), name
    assert len({found[name].tobytes() for name in MAPS}) == len(MAPS)

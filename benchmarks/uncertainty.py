"""Mean entropy per predicted instance, all classes in one pass, against a loop over the classes with OpenCV.

    python -m benchmarks.uncertainty [--rounds 9]

Maps of 1024x2048 with 19 classes: a generated street (label, as a good net would predict it), the same with ragged
edges and specks, as a net in training does, and noise, where every pixel is a run. Ways:

    trainers        trainers.ops.uncertainty.instance_uncertainty
    per class       for each of the 19 classes cv2.connectedComponents, two bincounts, one gather, on whole maps
    masked          trainers.ops.uncertainty_reference: the same, on the pixels of the class alone
    per component   for each class and component a mask and a mean (street only)

All have one thread for Python and OpenCV's own threads for OpenCV. Results are compared bit for bit in a first round,
which is not counted; rounds alternate, medians are compared. "components" is the labelling alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from trainers.ops import uncertainty_reference
from trainers.ops.components import components
from trainers.ops.uncertainty import instance_uncertainty
from unify.codecs import read_label
from unify.sample import write_streets
from unify.taxonomy import taxonomy_for

RESULTS = Path(__file__).parent / "results" / "uncertainty.json"
CLASSES = 19
LEAST = 10.0  #: what has to be gained over "per class" and "masked" on streets


def street(scratch: Path) -> NDArray[np.uint8]:
    """A generated Cityscapes label of full size, ids 0..18; void is the road it mostly is."""
    write_streets(scratch / "streets", ["C"], images=1, seed=0, size="full")
    path = sorted((scratch / "streets").rglob("*_labelIds.png"))[0]
    table = taxonomy_for({"cityscapes": "cityscapes"}, {"cityscapes": "cityscapes19"}).table("cityscapes")
    label_hw = table[read_label(path.read_bytes())]
    return np.where(label_hw < CLASSES, label_hw, 0).astype(np.uint8)


def ragged(label_hw: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Each pixel takes a class from up to 8 pixels away, in patches of 4 pixels; specks of any class."""
    height, width = label_hw.shape
    drift = rng.normal(0, 4, (2, height // 4, width // 4)).clip(-8, 8).astype(np.float32)
    dy, dx = (np.rint(cv2.resize(d, (width, height))).astype(int) for d in drift)
    y, x = np.indices(label_hw.shape)
    moved = label_hw[(y + dy).clip(0, height - 1), (x + dx).clip(0, width - 1)]
    specks = cv2.resize((rng.random((height // 4, width // 4)) < 0.01).astype(np.uint8), (width, height)) > 0
    moved[specks] = rng.integers(0, CLASSES, label_hw.shape, dtype=np.uint8)[specks] // 6 * 6
    return np.asarray(moved, np.uint8)


def per_class(entropy_hw: NDArray[np.float32], prediction_hw: NDArray[np.uint8]) -> NDArray[np.float32]:
    out_hw = np.zeros(entropy_hw.shape, np.float32)
    for class_id in range(CLASSES):
        mask_hw = prediction_hw == class_id
        count, component_hw = cv2.connectedComponents(mask_hw.astype(np.uint8), connectivity=8)
        sum_c = np.bincount(component_hw.ravel(), entropy_hw.ravel(), count)
        mean_c = sum_c / np.maximum(np.bincount(component_hw.ravel(), minlength=count), 1)
        out_hw = np.where(mask_hw, mean_c[component_hw].astype(np.float32), out_hw)
    return out_hw


def per_component(entropy_hw: NDArray[np.float32], prediction_hw: NDArray[np.uint8]) -> NDArray[np.float32]:
    out_hw = np.zeros(entropy_hw.shape, np.float32)
    for class_id in range(CLASSES):
        count, component_hw = cv2.connectedComponents((prediction_hw == class_id).astype(np.uint8), connectivity=8)
        for i in range(1, count):
            inside_hw = component_hw == i
            out_hw[inside_hw] = entropy_hw[inside_hw].mean(dtype=np.float64)
    return out_hw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as scratch:
        label_hw = street(Path(scratch))
    maps = {
        "street": label_hw,
        "ragged": ragged(label_hw, rng),
        "noise": rng.integers(0, CLASSES, label_hw.shape, dtype=np.uint8),
    }
    entropy_hw = (rng.random(label_hw.shape) * np.log(CLASSES)).astype(np.float32)
    results: dict[str, object] = {
        "command": f"python -m benchmarks.uncertainty --rounds {args.rounds}",
        "size_hw": list(label_hw.shape),
        "classes": CLASSES,
        "least": LEAST,
    }
    passed = True
    for name, prediction_hw in maps.items():
        ways: dict[str, Callable[..., object]] = {
            "trainers": instance_uncertainty,
            "components": lambda entropy_hw, prediction_hw: components(prediction_hw),
            "per class": per_class,
            "masked": uncertainty_reference.instance_uncertainty,
        }
        expected = instance_uncertainty(entropy_hw, prediction_hw)
        is_equal = all(
            np.array_equal(expected, ways[way](entropy_hw, prediction_hw)) for way in ("per class", "masked")
        )
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(args.rounds):
            for way, call in ways.items():
                start = time.perf_counter()
                call(entropy_hw, prediction_hw)
                seconds[way].append(time.perf_counter() - start)
        median = {way: statistics.median(found) for way, found in seconds.items()}
        if name == "street":
            start = time.perf_counter()
            literal = per_component(entropy_hw, prediction_hw)
            median["per component"] = time.perf_counter() - start
            assert np.allclose(literal, expected, rtol=1e-6)  # numpy adds up pairwise
        found = components(prediction_hw)
        times = {way: round(value / median["trainers"], 1) for way, value in median.items()}
        results[name] = {
            "components": len(found),
            "runs": len(found.component_r),
            "equal bit for bit": is_equal,
            "milliseconds": {way: round(1e3 * value, 1) for way, value in median.items()},
            "times": times,
        }
        passed &= is_equal and (name == "noise" or min(times["per class"], times["masked"]) >= LEAST)
        print(name, json.dumps(results[name]), flush=True)
    results["passed"] = passed
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(f"at least {LEAST:g} times on streets, and equal: {'passed' if passed else 'FAILED'}")


if __name__ == "__main__":
    main()

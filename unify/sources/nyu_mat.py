"""The .mat files of NYU-Depth-v2 to the folders that its adapter reads, once.

nyu_depth_v2_labeled.mat is HDF5 (MATLAB 7.3) and splits.mat an older format: h5py and scipy read them.
HDF5 gives MATLAB's arrays with their axes reversed, images (N, 3, W, H) and labels (N, W, H), so that
both are turned here. The reversal and the names of the arrays are as in several public converters.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unify import codecs, storage
from unify.errors import Problem, UnifyError, error

#: Of each of the 894 labels, its class of 40. ankurhanda/nyuv2-meta-data, classMapping40.mat (mapClass).
_CLASS_OF_LABEL = """
    40 40 3 22 5 40 12 38 40 40 2 39 40 40 26 40 24 40 7 40 1 40 40 34 38 29 40 8 40 40 40 40 38 40 40 14 40 38 40
    40 40 15 39 40 30 40 40 39 40 39 38 40 38 40 37 40 38 38 9 40 40 38 40 11 38 40 40 40 40 40 40 40 40 40 40 40 40
    40 38 13 40 40 6 40 23 40 39 10 16 40 40 40 40 38 40 40 40 40 40 40 40 40 40 38 40 39 40 40 40 40 39 38 40 40 40
    40 40 40 18 40 40 19 28 33 40 40 40 40 40 40 40 40 40 38 27 36 40 40 40 40 21 40 20 35 40 40 40 40 40 40 40 40
    38 40 40 40 4 32 40 40 39 40 39 40 40 40 40 40 17 40 40 25 40 39 40 40 40 40 40 40 40 40 39 40 40 40 40 40 40 40
    40 40 40 40 40 40 40 40 40 40 40 40 40 39 40 40 40 40 40 40 40 40 40 39 38 38 40 40 39 40 39 40 38 39 38 40 40
    40 40 40 40 40 40 40 40 39 40 38 40 40 38 38 40 40 40 40 40 40 40 40 40 40 40 40 40 38 40 40 40 40 40 39 40 40
    40 40 40 40 40 40 40 40 40 40 40 40 40 39 40 40 40 40 40 40 40 40 40 40 40 40 39 40 40 40 38 40 40 39 40 40 38
    40 40 40 40 40 40 40 40 40 40 40 39 40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 31 40 40 40 40 40 40 40
    38 40 40 38 39 39 40 40 40 40 40 40 40 40 40 38 40 39 40 40 39 40 40 40 38 40 40 40 40 40 40 40 40 38 39 40 40
    40 40 40 40 38 40 40 40 40 40 40 40 40 40 40 40 38 39 40 40 40 40 40 40 40 39 40 40 40 40 40 40 38 40 40 40 38
    40 39 40 40 40 39 39 40 40 40 40 40 40 40 40 40 40 39 40 40 40 40 40 40 40 40 40 40 40 40 39 39 40 40 39 39 40
    40 40 40 38 40 40 38 39 39 40 39 40 39 38 40 40 40 40 40 40 40 40 40 40 40 39 40 38 40 39 40 40 40 40 40 39 39
    40 40 40 40 40 40 39 39 40 40 38 39 39 40 40 40 40 40 40 40 40 40 39 39 40 40 40 40 39 40 40 40 40 40 39 40 40
    39 40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 39 38 40 40 40 40 40 40 40 39 38 39 40 38 39 40 39 40 39 40 40
    40 40 40 40 40 40 38 40 40 40 40 40 38 40 40 39 40 40 40 39 40 38 40 40 40 40 40 40 40 40 38 40 40 40 40 40 40
    40 40 40 40 40 40 40 40 40 40 39 38 40 40 38 40 40 38 40 40 40 40 40 40 40 40 40 39 40 40 40 40 40 40 40 40 40
    40 40 40 40 40 40 40 38 40 40 38 40 40 40 40 40 40 40 40 40 40 40 38 38 38 40 40 40 38 40 40 40 38 38 40 40 40
    40 40 40 40 40 40 40 40 40 40 40 40 40 40 38 40 40 40 40 40 40 40 40 40 40 40 40 40 38 40 38 39 40 40 40 40 40
    40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 39 40 40 40 40 40 40 40 40 40 40 40
    40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 40 39 40 39 40 40 40 40 38 38 40 40 40 38
    40 40 40 40 40 40 40 40 40 40 40 40 40 40 39 40 40 39 40 40 39 39 40 40 40 40 40 40 40 40 39 39 39 40 40 40 40
    39 40 40 40 40 40 40 40 40 39 40 40 40 40 40 39 40 40 40 40 40 40 40 40 40 40 40 40 40 40 38 40 40 40 40 40 40
    40 39 40 40 38 40 39 40 40 40 40 38 40 40 40 40 40 38 40 40 40 40 40 40 40 39 40 40 40 40 40 40 40 40 40 39 40
    40
"""


def class_table() -> npt.NDArray[np.uint8]:
    """(895,) uint8: label 0..894 as shipped → class 0..40, 0 = unlabeled."""
    return np.array([0, *map(int, _CLASS_OF_LABEL.split())], np.uint8)


def extract(mat: Path, splits: Path, out: Path, *, progress: Callable[[], None] = lambda: None) -> int:
    """Write image/{n:06d}.png, label40/{n:06d}.png, train.txt and test.txt below `out`; n counts from 1.

    mat: nyu_depth_v2_labeled.mat. splits: splits.mat, its trainNdxs and testNdxs. The answer is the number
    of images; `progress` is called for each.

    Raises `UnifyError`: usage (h5py or scipy is not installed), not-found, bad-config (not such a file),
    bad-label (a label above 894).
    """
    h5py, scipy_io = _package("h5py"), _package("scipy.io")
    if absent := [
        Problem("not-found", str(p), "no such file", "download it") for p in (mat, splits) if not p.is_file()
    ]:
        raise UnifyError(*absent)
    lists = _lists(scipy_io, splits)
    table = class_table()
    try:
        with h5py.File(mat, "r") as file:
            images, labels = file["images"], file["labels"]
            count = len(images)
            if len(labels) != count or any(not 1 <= n <= count for names in lists.values() for n in names):
                what = f"{count} images, {len(labels)} labels and the numbers in {splits.name} do not fit together"
                raise error("bad-config", mat, what, "take both files of the same release")
            for folder in ("image", "label40"):
                storage.make_dirs(out / folder)
            for i in range(count):
                _write_pair(out, i + 1, np.asarray(images[i]), np.asarray(labels[i]), table)
                progress()
    except (OSError, KeyError) as e:  # no HDF5 at all, or without these arrays
        raise error("bad-config", mat, f"is not NYU-Depth-v2's labeled set: {e}", "download it again") from e
    for name, numbers in lists.items():
        storage.write_file(out / f"{name}.txt", "".join(f"{n:06d}\n" for n in sorted(numbers)).encode())
    return count


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as e:
        raise error("usage", "", f"{name.partition('.')[0]} is not installed", "pip install 'unify[nyu]'") from e


def _lists(scipy_io: Any, splits: Path) -> dict[str, list[int]]:
    """Split name → its image numbers, which count from 1."""
    try:
        found = scipy_io.loadmat(splits)
        return {name: np.asarray(found[f"{name}Ndxs"]).astype(int).ravel().tolist() for name in ("train", "test")}
    except Exception as e:  # besides KeyError, scipy has several of its own for what is no such file
        raise error("bad-config", splits, f"is not NYU-Depth-v2's splits.mat: {e}", "download it again") from e


def _write_pair(
    out: Path, number: int, image_3wh: npt.NDArray[Any], label_wh: npt.NDArray[Any], table: npt.NDArray[np.uint8]
) -> None:
    label_hw = label_wh.T
    if label_hw.max(initial=0) >= len(table):
        raise error("bad-label", f"labels[{number - 1}]", f"label {label_hw.max()} of at most 894", "download it again")
    storage.write_file(out / f"image/{number:06d}.png", _rgb_png(image_3wh.transpose(2, 1, 0)))
    storage.write_file(out / f"label40/{number:06d}.png", codecs.encode_label(table[label_hw])[0])


def _rgb_png(rgb_hw3: npt.NDArray[np.uint8]) -> bytes:
    import cv2

    ok, data = cv2.imencode(".png", np.ascontiguousarray(rgb_hw3[..., ::-1]))
    assert ok, "an array of 8-bit RGB can be written"
    return bytes(data)

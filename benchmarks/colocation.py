"""A world in which two classes are found together in training, and apart in the test: for `dropclass_evidence`.

Pictures of 8 x 8 cells of 8 pixels, on a noisy ground. Grey blocks are leaners or loners, of slightly different
greys, which the noise does not hide from who looks at a whole block. In the splits train and val a leaner nearly
always (`TOGETHER`) has a red cue at its right, a loner never has one, and no cue stands alone: the cue is the easier
sign. In the split test cues stand beside leaners, loners and nothing alike.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

NAMES = ("ground", "cue", "leaner", "loner", "bystander")
COLORS = ((90, 140, 90), (210, 40, 40), (126, 120, 114), (114, 120, 126), (40, 60, 210))
GROUND, CUE, LEANER, LONER, BYSTANDER = range(5)
CELLS, CELL = 8, 8
TOGETHER = 0.97
NOISE = 18.0
COUNTS = {"train": 320, "val": 64, "test": 64}

_CONFIG = """[datasets.colocation]
letter = "O"
root = "{root}"
space = "colocation"
train_space = "colocation"
images = "images/{{split}}/*.png"
labels = "labels/{{split}}/*.png"
encoding = "gray"
splits = {{ train = "train", val = "val", test = "test" }}
"""


def scene(rng: np.random.Generator, together: bool) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An image (64, 64, 3) RGB and its label (64, 64): each kind two or three times, where there is room."""
    label = np.zeros((CELLS, CELLS), np.uint8)
    taken = np.zeros((CELLS, CELLS), bool)

    def put(kind: int, with_cue: bool) -> None:
        for _ in range(30):
            y, x = rng.integers(CELLS), rng.integers(CELLS - 1)
            around = taken[max(0, y - 1) : y + 2, max(0, x - 1) : x + 3]
            if not around.any():
                label[y, x], taken[y, x : x + 2] = kind, True
                if with_cue:
                    label[y, x + 1] = CUE
                return

    for kind in rng.permutation([LEANER, LEANER, LEANER, LONER, LONER, LONER, BYSTANDER, BYSTANDER]).tolist():
        chance = (TOGETHER if kind == LEANER else 0.0) if together else 0.5
        put(kind, rng.random() < chance)
    label = label.repeat(CELL, 0).repeat(CELL, 1)
    shown = np.array(COLORS)[label] + rng.normal(0, NOISE, (*label.shape, 3))
    return shown.clip(0, 255).astype(np.uint8), label


def write(folder: Path, seed: int = 0) -> None:
    """Images, labels, unify.toml and the folder of spaces and mappings ("my")."""
    for number, (split, count) in enumerate(COUNTS.items()):
        rng = np.random.default_rng((seed, number))
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            image, label = scene(rng, together=split != "test")
            cv2.imwrite(str(folder / "images" / split / f"{i:04d}.png"), image[:, :, ::-1])
            cv2.imwrite(str(folder / "labels" / split / f"{i:04d}.png"), label)
    spaces, tables = folder / "my" / "spaces", folder / "my" / "to_colocation"
    spaces.mkdir(parents=True, exist_ok=True)
    tables.mkdir(exist_ok=True)
    colors = (f"- {{id: {i}, name: {n}, color: {list(c)}}}" for i, (n, c) in enumerate(zip(NAMES, COLORS, strict=True)))
    (spaces / "colocation.yaml").write_text("name: colocation\nclasses:\n" + "\n".join(colors) + "\n")
    rules = "\n".join(f"  {name}: {name}" for name in NAMES)
    (tables / "colocation.yaml").write_text(f"from: colocation\nto: colocation\nrules:\n{rules}\n")
    (folder / "unify.toml").write_text(_CONFIG.format(root=folder.resolve()))

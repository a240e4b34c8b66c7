"""Tiny raw roots in each dataset's true layout: folders, names, modes and encodings of the real files.

Images are noise over blocks, labels are blocks of ids drawn from the whole label space.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unify.spaces import LabelSpace, load_space

BLOCK_PX = 8
Size = tuple[int, int]


def write_cityscapes(root: Path, train: int = 2, val: int = 1, size: Size = (64, 32), seed: int = 0) -> Path:
    """leftImg8bit/ and gtFine/ with all four kinds of label files."""
    rng = np.random.default_rng(seed)
    space = load_space("cityscapes")
    shipped = [i for i in space.ids if i != 255]  # license plates are never drawn
    cities = {"train": ("aachen", "bochum", "zurich"), "val": ("frankfurt", "lindau", "munster")}
    for split, count in (("train", train), ("val", val)):
        for i in range(count):
            city = cities[split][i % 3]
            stem = f"{city}_{i:06d}_{19 + i:06d}"
            ids_hw = blocks(rng, shipped, size)
            save(photo(rng, ids_hw), root / f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png")
            label = f"{root}/gtFine/{split}/{city}/{stem}_gtFine"
            save(Image.fromarray(ids_hw), f"{label}_labelIds.png")
            save(Image.fromarray(numbered(ids_hw, range(24, 34), 1000)), f"{label}_instanceIds.png")
            save(Image.fromarray(space.palette()[ids_hw]).convert("RGBA"), f"{label}_color.png")
            write_json(f"{label}_polygons.json", {"imgHeight": size[1], "imgWidth": size[0], "objects": []})
    return root


def idd_object(label: str, polygon: list[list[float]], deleted: int = 0) -> dict[str, Any]:
    """An object as AutoNUE's annotation tool saves it."""
    facts = {"date": "05-Nov-2018 11:34:54", "deleted": deleted, "draw": True, "id": 0}
    return {**facts, "label": label, "polygon": polygon, "user": "cvit", "verified": 0}


def idd_polygons(rng: np.random.Generator, size: Size) -> dict[str, Any]:
    """Sky, road, a few random shapes, and one of each kind that is not drawn."""
    width, height = size
    half = height / 2
    objects = [
        idd_object("sky", [[0, 0], [width - 1, 0], [width - 1, half], [0, half]]),
        idd_object("road", [[0.0, half], [width - 1.0, half], [width - 1.0, height - 1.0], [0.0, height - 1.0]]),
        idd_object("building", [[2, 2], [9, 2], [9, 20], [2, 20]], deleted=1),
        idd_object("person", []),
        idd_object("rider", [[1, 1], [5, 5]]),
    ]
    names = load_space("idd").names
    for label in [*rng.choice(names, 6), "motorcyclegroup", "polegroup"]:
        points = rng.uniform((-4, -4), (width + 4, height + 4), (int(rng.integers(3, 7)), 2))
        objects.append(idd_object(str(label), np.round(points, 3).tolist()))
    return {"imgHeight": height, "imgWidth": width, "objects": objects}


def write_idd(
    root: Path, train: int = 2, val: int = 1, size: Size = (64, 32), seed: int = 0, parts: tuple[str, ...] = ("I", "II")
) -> Path:
    """IDD_Segmentation/ (PNG) and idd20kII/ (JPG), frames dealt to them in turn; one part only is the root itself."""
    rng = np.random.default_rng(seed)
    folders = {"I": "IDD_Segmentation/", "II": "idd20kII/"} if len(parts) > 1 else {parts[0]: ""}
    for split, count in (("train", train), ("val", val)):
        for i in range(count):
            part = parts[i % len(parts)]
            drive, frame = (201 if split == "train" else 119) + i // 4, f"frame{29 + i:04d}"
            suffix = {"I": "png", "II": "jpg"}[part]
            where = f"{root}/{folders[part]}"
            ids_hw = blocks(rng, range(40), size)
            save(photo(rng, ids_hw), f"{where}leftImg8bit/{split}/{drive}/{frame}_leftImg8bit.{suffix}")
            write_json(f"{where}gtFine/{split}/{drive}/{frame}_gtFine_polygons.json", idd_polygons(rng, size))
    return root


def write_bdd100k(
    root: Path, train: int = 2, val: int = 1, size: Size = (64, 32), seed: int = 0, release: str = "sem_seg"
) -> Path:
    """The folder `bdd100k` itself, of the newer layout or (release="seg") the older."""
    rng = np.random.default_rng(seed)
    space = load_space("bdd100k")
    for split, count in (("train", train), ("val", val)):
        for i in range(count):
            name = f"{0xA0A0B1A + i * 0x1234567:08x}-{(0x7C39D841 if split == 'train' else 0xE0C1C5A7) + i:08x}"
            ids_hw = blocks(rng, sorted(space.ids), size)
            color = Image.fromarray(space.palette()[ids_hw])
            if release == "sem_seg":
                save(photo(rng, ids_hw), root / f"images/10k/{split}/{name}.jpg")
                save(Image.fromarray(ids_hw), root / f"labels/sem_seg/masks/{split}/{name}.png")
                save(color, root / f"labels/sem_seg/colormaps/{split}/{name}.png")
            else:
                save(photo(rng, ids_hw), root / f"seg/images/{split}/{name}.jpg")
                save(Image.fromarray(ids_hw), root / f"seg/labels/{split}/{name}_train_id.png")
                save(color, root / f"seg/color_labels/{split}/{name}_train_color.png")
    return root


def mapillary_config(space: LabelSpace, version: str) -> dict[str, Any]:
    labels = [
        {
            "color": list(c.color),
            "instances": c.name.startswith("object--"),
            "readable": c.name.rpartition("--")[2].replace("-", " ").title(),
            "name": c.name,
            "evaluate": c.name != "void--unlabeled",
        }
        for c in space.classes
    ]
    structure = {"images": "{split:s}/images/{image_id:s}.jpg"}
    return {"labels": labels, "version": version, "mapping": "public", "folder_structure": structure}


def write_mapillary(
    root: Path, train: int = 2, val: int = 1, size: Size = (64, 32), seed: int = 0, layout: str = "v2.0"
) -> Path:
    """The download of v2.0, which holds v1.2 as well, or (layout="v1.x") that of v1.x."""
    rng = np.random.default_rng(seed)
    kinds = {"v1.2": "v1.2/", "v2.0": "v2.0/"} if layout == "v2.0" else {"v1.2": ""}
    for release, below in kinds.items():
        name = f"config_{release}.json" if below else "config.json"
        version = {"v1.2": "1.1", "v2.0": "2.0"}[release]  # the config of v1.2 calls itself 1.1
        write_json(root / name, mapillary_config(load_space(f"mapillary-{release}"), version))
    alphabet = list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    for split, count in (("training", train), ("validation", val)):
        for i in range(count):
            names = np.random.default_rng((seed, i, len(split)))  # of its own: each layout has the same keys
            key = "-_aZ9"[i % 5] + "".join(names.choice(alphabet, 21))
            image = None
            for release, below in kinds.items():
                space = load_space(f"mapillary-{release}")
                ids_hw = blocks(rng, sorted(space.ids), size)
                image = photo(rng, ids_hw)
                label = Image.fromarray(ids_hw).convert("P")
                label.putpalette(space.palette()[: len(space)].tobytes())
                save(label, root / f"{split}/{below}labels/{key}.png")
                things = [c.id for c in space.classes if c.name.startswith("object--vehicle")]
                instance_hw = numbered(ids_hw, things, 256, plain=256)
                save(Image.fromarray(instance_hw), root / f"{split}/{below}instances/{key}.png")
            assert image is not None
            save(image, root / f"{split}/images/{key}.jpg")
    return root


def write_camvid(
    root: Path,
    train: int = 2,
    val: int = 1,
    size: Size = (64, 32),
    seed: int = 0,
    test: int = 0,
    release: str = "segnet",
) -> Path:
    """The folder `CamVid` of the SegNet tutorial, or (release="original") the original's two folders and no lists."""
    rng = np.random.default_rng(seed)
    space = load_space("camvid-segnet" if release == "segnet" else "camvid-32")
    for split, count in (("train", train), ("val", val), ("test", test)):
        lines = []
        for i in range(count):
            name = {"train": "0001TP_", "val": "0016E5_", "test": "Seq05VD_f"}[split] + f"{6690 + 30 * i:06d}"
            ids_hw = blocks(rng, sorted(space.ids), size)
            if release == "segnet":
                save(photo(rng, ids_hw), root / f"{split}/{name}.png")
                save(Image.fromarray(ids_hw), root / f"{split}annot/{name}.png")
            else:
                save(photo(rng, ids_hw), root / f"701_StillsRaw_full/{name}.png")
                save(Image.fromarray(space.palette()[ids_hw]), root / f"LabeledApproved_full/{name}_L.png")
            lines.append(f"/SegNet/CamVid/{split}/{name}.png /SegNet/CamVid/{split}annot/{name}.png\n")
        if release == "segnet":
            (root / f"{split}.txt").write_text("".join(lines))
    return root


def blocks(rng: np.random.Generator, ids: Any, size: Size) -> np.ndarray:
    """(H, W) uint8: blocks of ids drawn from `ids`. `size` is (width, height), as Pillow has it."""
    width, height = size
    coarse = rng.choice(np.fromiter(ids, np.uint8), (-(-height // BLOCK_PX), -(-width // BLOCK_PX)))
    return np.kron(coarse, np.ones((BLOCK_PX, BLOCK_PX), np.uint8))[:height, :width].copy()


def numbered(ids_hw: np.ndarray, things: Any, factor: int, plain: int = 1, first: int = 0) -> np.ndarray:
    """(H, W) uint16 instance values: each of `things` has a number in the left half and the next in the right one;
    other ids are there times `plain`. The lowest row is a group, without a number."""
    height, width = ids_hw.shape
    is_right, is_low = np.arange(width) >= width // 2, np.arange(height)[:, None] >= height - 1
    values_hw = ids_hw.astype(np.uint16) * plain
    number_hw = ids_hw.astype(np.uint16) * factor + first + is_right.astype(np.uint16)
    return np.where(np.isin(ids_hw, list(things)) & ~is_low, number_hw, values_hw).astype(np.uint16)


def photo(rng: np.random.Generator, ids_hw: np.ndarray) -> Image.Image:
    """An RGB picture of a label's size and a little of its content."""
    noise = rng.integers(0, 32, (*ids_hw.shape, 3), np.uint8)
    return Image.fromarray(noise + ids_hw[..., None] // np.uint8(2))


def save(image: Image.Image, path: Path | str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def write_json(path: Path | str, value: Any) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(value, sort_keys=True, indent=4))

"""Tiny raw roots of the further datasets in their true layouts, as in `layouts`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from unify.spaces import load_space

from .layouts import Size, blocks, numbered, photo, save, write_json

SIZE = (64, 32)
STREET_IDS = range(34)  # Cityscapes' ids that are ever drawn
CONDITIONS = ("fog", "night", "rain", "snow")
#: Categories of WildDash 2 whose things are told apart: the label policy's `isthing`.
WILDDASH_THINGS = {
    1, 17, 19, 20, *range(24, 38), *range(39, 43), *range(44, 52), 53, 54, 55, 57, 58, 59, 62, 63, 66, 71, 72,
    *range(74, 78),
}  # fmt: skip


def write_coarse(root: Path, train: int = 1, val: int = 1, extra: int = 2, size: Size = SIZE, seed: int = 0) -> Path:
    """leftImg8bit/ and gtCoarse/, the damaged frame of train_extra among them."""
    rng = np.random.default_rng(seed)
    stems = {
        "train": [f"aachen_{i:06d}_000019" for i in range(train)],
        "val": [f"munster_{i:06d}_000019" for i in range(val)],
        "train_extra": [*(f"augsburg_{i:06d}_000{i}13" for i in range(extra)), "troisdorf_000000_000073"],
    }
    for split, names in stems.items():
        for stem in names:
            city = stem.partition("_")[0]
            ids_hw = blocks(rng, STREET_IDS, size)
            save(photo(rng, ids_hw), root / f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png")
            label = f"{root}/gtCoarse/{split}/{city}/{stem}_gtCoarse"
            save(Image.fromarray(ids_hw), f"{label}_labelIds.png")
            save(Image.fromarray(numbered(ids_hw, range(24, 34), 1000)), f"{label}_instanceIds.png")
            save(Image.fromarray(ids_hw).convert("RGBA"), f"{label}_color.png")
            write_json(f"{label}_polygons.json", {"imgHeight": size[1], "imgWidth": size[0], "objects": []})
    return root


def write_kitti(root: Path, train: int = 3, size: Size = SIZE, seed: int = 0) -> Path:
    """data_semantics.zip unpacked over the stereo download, whose second frames have no labels."""
    rng = np.random.default_rng(seed)
    for i in range(train):
        ids_hw = blocks(rng, STREET_IDS, (size[0] + i, size[1]))
        save(photo(rng, ids_hw), root / f"training/image_2/{i:06d}_10.png")
        save(photo(rng, ids_hw), root / f"training/image_2/{i:06d}_11.png")
        save(photo(rng, ids_hw), root / f"testing/image_2/{i:06d}_10.png")
        save(Image.fromarray(ids_hw), root / f"training/semantic/{i:06d}_10.png")
        save(Image.fromarray(ids_hw).convert("RGB"), root / f"training/semantic_rgb/{i:06d}_10.png")
        instance_hw = numbered(ids_hw, [*range(24, 34), 11], 256, plain=256, first=1)  # 11 is building
        save(Image.fromarray(instance_hw), root / f"training/instance/{i:06d}_10.png")
    return root


def write_acdc(root: Path, train: int = 2, val: int = 1, size: Size = SIZE, seed: int = 0, zips: bool = False) -> Path:
    """rgb_anon/ and gt/ with reference frames; or (zips=True) below folders named after the zips."""
    rng = np.random.default_rng(seed)
    images, labels = ("rgb_anon_trainvaltest/rgb_anon", "gt_trainval/gt") if zips else ("rgb_anon", "gt")
    for condition in CONDITIONS:
        for split, count in (("train", train), ("val", val), ("test", 1)):
            for i in range(count):
                seq = {"train": "GOPR0475", "val": "GP010476", "test": "GOPR0477"}[split]
                stem = f"{seq}_frame_{41 + i:06d}"
                ids_hw = blocks(rng, STREET_IDS, size)
                save(photo(rng, ids_hw), root / f"{images}/{condition}/{split}/{seq}/{stem}_rgb_anon.png")
                save(photo(rng, ids_hw), root / f"{images}/{condition}/{split}_ref/{seq}/{stem}_rgb_ref_anon.png")
                if split != "test":
                    label = f"{root}/{labels}/{condition}/{split}/{seq}/{stem}_gt"
                    save(Image.fromarray(ids_hw), f"{label}_labelIds.png")
                    save(Image.fromarray(ids_hw % np.uint8(19)), f"{label}_labelTrainIds.png")
                    save(Image.fromarray(ids_hw).convert("RGB"), f"{label}_labelColor.png")
                    save(Image.fromarray(ids_hw > 5), f"{label}_invIds.png")
    return root


def write_wilddash(root: Path, train: int = 2, size: Size = SIZE, seed: int = 0, release: str = "public_02") -> Path:
    """The beta with its 8-bit labels; or (release="v2p0") panoptic images and panoptic.json only."""
    rng = np.random.default_rng(seed)
    annotations = []
    for i in range(train):
        name = f"aa{i:04d}_100000"
        ids_hw = blocks(rng, sorted(load_space(f"wilddash-{release.replace('_', '-')}").ids), size)
        save(photo(rng, ids_hw), root / f"images/{name}.jpg")
        segment_hw, segments = panoptic(ids_hw)
        save(segment_rgb(segment_hw), root / f"panoptic/{name}.png")
        annotations.append({"file_name": f"{name}.png", "image_id": name, "segments_info": segments})
        if release == "public_02":
            save(Image.fromarray(ids_hw), root / f"labels/{name}.png")
            save(Image.fromarray(ids_hw.astype(np.uint16) << 8), root / f"instances/{name}.png")
    categories = [{"id": i, "isthing": int(i in WILDDASH_THINGS)} for i in range(39 if release == "public_02" else 81)]
    write_json(root / "panoptic.json", {"images": [], "categories": categories, "annotations": annotations})
    return root


def panoptic(ids_hw: np.ndarray) -> tuple[np.ndarray, list[dict[str, int]]]:
    """(H, W) segment ids, a segment for each half of a class; 0 where the id is 0. And segments_info, the right one
    first; of persons (24) that is a crowd."""
    width = ids_hw.shape[1]
    right = np.arange(width) >= width // 2
    segment_hw = np.where(ids_hw > 0, 70_000 * ids_hw.astype(np.uint32) + right + 256, 0)
    infos = [
        {"id": s, "category_id": (s - 256) // 70_000, "iscrowd": int(s == 70_000 * 24 + 257)}
        for s in np.unique(segment_hw)[::-1].tolist()
        if s
    ]
    return segment_hw.astype(np.uint32), infos


def segment_rgb(segment_hw: np.ndarray) -> Image.Image:
    """Segment ids as COCO writes them: R + 256 G + 65536 B."""
    return Image.fromarray(np.stack([segment_hw >> shift & 255 for shift in (0, 8, 16)], -1).astype(np.uint8))


def write_voc(
    root: Path, train: int = 2, val: int = 2, more: int = 2, size: Size = SIZE, seed: int = 0, augmented: bool = False
) -> Path:
    """The folder VOC2012; with `augmented` also labels of SBD for val pictures and `more`, gray ones."""
    rng = np.random.default_rng(seed)
    space = load_space("voc2012")
    stems = {"train": [f"2007_{i:06d}" for i in range(train)], "val": [f"2008_{i:06d}" for i in range(val)]}
    plain = [f"2009_{i:06d}" for i in range(more)]
    for stem in [*stems["train"], *stems["val"], *plain, "2012_004331"]:
        ids_hw = blocks(rng, sorted(space.ids), size)
        save(photo(rng, ids_hw % np.uint8(21)), root / f"JPEGImages/{stem}.jpg")
        if stem in stems["train"] + stems["val"]:
            label = palette_image(ids_hw, space.palette())
            save(label, root / f"SegmentationClass/{stem}.png")
            save(palette_image(objects(ids_hw), space.palette()), root / f"SegmentationObject/{stem}.png")
        if augmented and stem != "2012_004331":
            save(Image.fromarray(blocks(rng, range(21), size)), root / f"SegmentationClassAug/{stem}.png")
    for split, names in stems.items():
        write_list(root / f"ImageSets/Segmentation/{split}.txt", names)
    write_list(root / "ImageSets/Segmentation/trainval.txt", stems["train"] + stems["val"])
    return root


def objects(ids_hw: np.ndarray) -> np.ndarray:
    """Numbers of objects: each half of a class is one, in an order of their own; 0 and 255 are as in the label."""
    right = np.arange(ids_hw.shape[1]) >= ids_hw.shape[1] // 2
    keys_hw = 2 * ids_hw.astype(int) + right
    keys = np.unique(keys_hw[(ids_hw > 0) & (ids_hw < 255)])[::-1]
    numbers_hw = np.where(ids_hw == 255, 255, 0)
    for number, key in enumerate(keys, start=1):
        numbers_hw[keys_hw == key] = number
    return numbers_hw.astype(np.uint8)


def write_context(root: Path, train: int = 2, val: int = 1, size: Size = SIZE, seed: int = 0) -> Path:
    """The folder VOC2010 with converted labels; the training list names a picture twice."""
    rng = np.random.default_rng(seed)
    stems = {"train": [f"2008_{8 + i:06d}" for i in range(train)], "val": [f"2008_{300 + i:06d}" for i in range(val)]}
    for split, names in stems.items():
        for stem in names:
            ids_hw = blocks(rng, range(60), size)
            save(photo(rng, ids_hw), root / f"JPEGImages/{stem}.jpg")
            save(Image.fromarray(ids_hw), root / f"SegmentationClassContext/{stem}.png")
        write_list(root / f"ImageSets/SegmentationContext/{split}.txt", [*names, *names[:1]])
    save(photo(rng, ids_hw), root / "JPEGImages/2010_000001.jpg")
    (root / "SegmentationClass").mkdir()  # VOC 2010 has labels of its own
    (root / "ImageSets/Segmentation").mkdir()
    return root


def write_nyu(root: Path, train: int = 2, test: int = 1, size: Size = SIZE, seed: int = 0) -> Path:
    """image/, label40/ and two lists of numbers that count from 1, train and test mixed."""
    rng = np.random.default_rng(seed)
    names = [f"{i + 1:06d}" for i in range(train + test)]
    for name in names:
        ids_hw = blocks(rng, range(41), size)
        save(photo(rng, ids_hw), root / f"image/{name}.png")
        save(Image.fromarray(ids_hw), root / f"label40/{name}.png")
    write_list(root / "train.txt", names[test:])
    write_list(root / "test.txt", names[:test])
    return root


def palette_image(ids_hw: np.ndarray, palette: np.ndarray) -> Image.Image:
    image = Image.fromarray(ids_hw).convert("P")
    image.putpalette(palette.tobytes())
    return image


def write_list(path: Path, names: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names))


#: folder → how it is written, its source, the releases in it, pairs of its training split
WORLD = {
    "coarse": (write_coarse, "cityscapes", ("coarse",), 1),
    "kitti": (write_kitti, "kitti", ("2015",), 3),
    "acdc": (write_acdc, "acdc", ("all", *CONDITIONS), 8),
    "wd beta": (write_wilddash, "wilddash", ("public_02",), 2),
    "voc": (write_voc, "voc", ("voc2012",), 2),
    "voc aug": (lambda root: write_voc(root, augmented=True), "voc", ("voc2012", "trainaug"), 2),
    "context": (write_context, "context", ("voc2010",), 2),
    "nyu": (write_nyu, "nyu", ("labeled",), 2),
}


def write_world(root: Path) -> Path:
    """A folder of roots, as `WORLD` lists them."""
    for folder, (write, *_) in WORLD.items():
        write(root / folder)
    return root

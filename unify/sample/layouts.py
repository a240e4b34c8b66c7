"""Each dataset's own folders, file names and encodings."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from unify.sample import annotate
from unify.sample.annotate import Bytes, instance_numbers, label_image
from unify.sample.concepts import Concepts, load_concepts
from unify.sample.dice import Dice
from unify.sample.looks import LOOKS
from unify.sample.render import Rendering
from unify.sample.world import Card
from unify.spaces import load_space
from unify.storage import refused

TRAIN_CITIES = (
    "aachen",
    "bochum",
    "bremen",
    "cologne",
    "darmstadt",
    "dusseldorf",
    "erfurt",
    "hamburg",
    "hanover",
    "jena",
    "krefeld",
    "monchengladbach",
    "strasbourg",
    "stuttgart",
    "tubingen",
    "ulm",
    "weimar",
    "zurich",
)
VAL_CITIES = ("frankfurt", "lindau", "munster")
#: Ids of the Cityscapes classes whose things are counted.
CITYSCAPES_THINGS = frozenset(range(24, 34))
KEY_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

Files = dict[str, bytes]  # path below the dataset's root -> content


def files_of(card: Card, rendering: Rendering, layout: str) -> Files:
    """All files of one picture, in the layout `layout` of its source."""
    return LAYOUTS[card.source, layout](card, rendering)


def write_files(root: Path, files: Files) -> None:
    """Write files below `root`. Raises `UnifyError` (cannot-create, io)."""
    for name, data in files.items():
        path = root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError as e:
            raise refused("write", path, e) from e


# -- encodings -----------------------------------------------------------------------------------


def png(array: Bytes | np.ndarray[Any, np.dtype[np.uint16]]) -> bytes:
    """Gray (8 or 16 bit), RGB or RGBA."""
    if array.ndim == 3:
        array = array[:, :, [2, 1, 0, 3][: array.shape[2]]]
    done, data = cv2.imencode(".png", array, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    assert done
    return data.tobytes()


def jpeg(image_hw3: Bytes, quality: int) -> bytes:
    done, data = cv2.imencode(".jpg", image_hw3[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()


def palette_png(index_hw: Bytes, colours_n3: Bytes) -> bytes:
    """A palette PNG whose pixels are indices. Pillow leaves palette rows unfiltered, as the real files are."""
    from PIL import Image

    picture = Image.fromarray(index_hw)
    picture.putpalette(colours_n3.ravel().tolist())
    out = BytesIO()
    picture.save(out, "PNG", compress_level=6)
    return out.getvalue()


def to_json(value: object) -> bytes:
    return json.dumps(value, separators=(", ", ": ")).encode() + b"\n"


# -- layouts -------------------------------------------------------------------------------------


def _table(space: str) -> tuple[Concepts, Bytes, Bytes]:
    concepts = load_concepts()
    return concepts, concepts.raw_ids(space), load_space(space).palette()


def cityscapes(card: Card, rendering: Rendering) -> Files:
    """leftImg8bit and gtFine: label ids, instance ids, colours, polygons."""
    concepts, ids, palette = _table("cityscapes")
    dice = Dice(card.seed, "cityscapes", card.split)
    cities = TRAIN_CITIES if card.split == "train" else VAL_CITIES
    city = cities[(dice.whole(0, 99) + card.index) % len(cities)]
    stem = f"{city}_{card.index // len(cities):06d}_{19 + 7 * card.index:06d}"
    label_hw = label_image(rendering, ids)
    numbers, raw = instance_numbers(rendering, ids, CITYSCAPES_THINGS)
    coded = np.where(numbers > 0, raw.astype(np.int32) * 1000 + numbers - 1, raw).astype(np.uint16)
    opaque = np.concatenate([palette, np.full((256, 1), 255, np.uint8)], axis=1)
    drawn = annotate.drawn_polygons(rendering, concepts, "cityscapes", "unlabeled")
    height, width = label_hw.shape
    polygons = annotate.cityscapes_json(drawn, annotate.plates_of(rendering, concepts), width, height)
    base = f"gtFine/{card.split}/{city}/{stem}_gtFine"
    return {
        f"leftImg8bit/{card.split}/{city}/{stem}_leftImg8bit.png": png(rendering.image_hw3),
        f"{base}_labelIds.png": png(label_hw),
        f"{base}_instanceIds.png": png(coded[rendering.shape_hw]),
        f"{base}_color.png": png(opaque[label_hw]),
        f"{base}_polygons.json": to_json(polygons),
    }


def idd(card: Card, rendering: Rendering) -> Files:
    """Polygons only; every other picture is of part II, which has JPEGs."""
    concepts, _, _ = _table("idd")
    dice = Dice(card.seed, "idd", card.split, card.index, "names")
    drawn = annotate.drawn_polygons(rendering, concepts, "idd", "unlabeled")
    height, width = rendering.shape_hw.shape
    polygons = to_json(annotate.idd_json(drawn, width, height, dice))
    if card.index % 2 == 0:
        part, drive, stem, suffix = (
            "IDD_Segmentation",
            card.index // 8,
            f"{dice.whole(0, 999):03d}{card.index:03d}",
            "png",
        )
        image = png(rendering.image_hw3)
    else:
        part, drive, stem, suffix = "idd20kII", 200 + card.index // 8, f"frame{card.index:04d}", "jpg"
        image = jpeg(rendering.image_hw3, LOOKS["idd"].quality)
    return {
        f"{part}/leftImg8bit/{card.split}/{drive}/{stem}_leftImg8bit.{suffix}": image,
        f"{part}/gtFine/{card.split}/{drive}/{stem}_gtFine_polygons.json": polygons,
    }


def _bdd_name(card: Card) -> str:
    word = Dice(card.seed, "bdd100k", card.split, card.index, "name").word()
    return f"{word >> 32:08x}-{word & 0xFFFFFFFF:08x}"


def bdd100k(card: Card, rendering: Rendering) -> Files:
    """images/10k and sem_seg masks, which hold train ids."""
    _, ids, palette = _table("bdd100k")
    name, label_hw = _bdd_name(card), label_image(rendering, ids)
    return {
        f"images/10k/{card.split}/{name}.jpg": jpeg(rendering.image_hw3, LOOKS["bdd100k"].quality),
        f"labels/sem_seg/masks/{card.split}/{name}.png": png(label_hw),
        f"labels/sem_seg/colormaps/{card.split}/{name}.png": png(palette[label_hw]),
    }


def bdd100k_old(card: Card, rendering: Rendering) -> Files:
    """The first release: seg/, with longer suffixes."""
    _, ids, palette = _table("bdd100k")
    name, label_hw = _bdd_name(card), label_image(rendering, ids)
    return {
        f"seg/images/{card.split}/{name}.jpg": jpeg(rendering.image_hw3, LOOKS["bdd100k"].quality),
        f"seg/labels/{card.split}/{name}_train_id.png": png(label_hw),
        f"seg/color_labels/{card.split}/{name}_train_color.png": png(palette[label_hw]),
    }


@lru_cache(maxsize=1)
def _mapillary_facts() -> dict[str, dict[str, tuple[str, bool, bool]]]:
    text = Path(__file__).with_name("mapillary.yaml").read_text(encoding="utf-8")
    facts: dict[str, dict[str, tuple[str, bool, bool]]] = yaml.safe_load(text)
    return facts


def mapillary_config(release: str) -> dict[str, Any]:
    """The config file of a release ("v1.2" or "v2.0"); that of v1.2 calls itself 1.1."""
    space, facts = load_space(f"mapillary-{release}"), _mapillary_facts()[release]
    labels = []
    for label in space.classes:
        readable, evaluate, instances = facts[label.name]
        labels.append(
            {
                "color": list(label.color),
                "evaluate": evaluate,
                "instances": instances,
                "name": label.name,
                "readable": readable,
            }
        )
    version = "1.1" if release == "v1.2" else "2.0"
    folder = "/".join(["{split}", release, "{content}"])
    return {"folder_structure": folder, "labels": labels, "mapping": "public", "version": version}


def _mapillary(card: Card, rendering: Rendering, folders: dict[str, str]) -> Files:
    """`folders`: release -> its folder below the split's ("" for none)."""
    dice = Dice(card.seed, "mapillary", card.split, card.index, "key")
    first = {0: "-", 2: "_"}.get(card.index % 5) or dice.pick(KEY_LETTERS[:62])
    key = first + "".join(dice.pick(KEY_LETTERS) for _ in range(21))
    split = {"train": "training", "val": "validation"}[card.split]
    files = {f"{split}/images/{key}.jpg": jpeg(rendering.image_hw3, LOOKS["mapillary"].quality)}
    for release, folder in folders.items():
        _, ids, palette = _table(f"mapillary-{release}")
        facts = _mapillary_facts()[release]
        countable = frozenset(i for i, (_, _, instances) in enumerate(facts.values()) if instances)
        numbers, raw = instance_numbers(rendering, ids, countable)
        coded = (raw.astype(np.int32) * 256 + np.minimum(numbers, 255)).astype(np.uint16)
        label_hw = label_image(rendering, ids)
        files[f"{split}/{folder}labels/{key}.png"] = palette_png(label_hw, palette[: len(facts)])
        files[f"{split}/{folder}instances/{key}.png"] = png(coded[rendering.shape_hw])
    return files


def mapillary(card: Card, rendering: Rendering) -> Files:
    """The v2.0 download, which holds both releases' labels."""
    return _mapillary(card, rendering, {"v1.2": "v1.2/", "v2.0": "v2.0/"})


def mapillary_v1(card: Card, rendering: Rendering) -> Files:
    """The v1.x download: one release, without a folder of its own."""
    return _mapillary(card, rendering, {"v1.2": ""})


def _camvid_name(card: Card) -> str:
    sequence = {"train": ("0001TP", "0006R0", "0016E5"), "val": ("0016E5",)}[card.split]
    start = 6690 if card.split == "train" else 7959
    return f"{sequence[card.index % len(sequence)]}_{start + 30 * card.index:06d}"


def camvid(card: Card, rendering: Rendering) -> Files:
    """SegNet's: gray ids 0..10, 11 where unlabelled."""
    _, ids, _ = _table("camvid-segnet")
    name = _camvid_name(card)
    return {
        f"{card.split}/{name}.png": png(rendering.image_hw3),
        f"{card.split}annot/{name}.png": png(label_image(rendering, ids)),
    }


def camvid_original(card: Card, rendering: Rendering) -> Files:
    """The original: colours only, one folder for all splits."""
    _, ids, palette = _table("camvid-32")
    name = _camvid_name(card)
    return {
        f"701_StillsRaw_full/{name}.png": png(rendering.image_hw3),
        f"LabeledApproved_full/{name}_L.png": png(palette[label_image(rendering, ids)]),
    }


#: (source, layout) -> how a picture is laid down; the first layout of a source is the usual one
LAYOUTS: dict[tuple[str, str], Callable[[Card, Rendering], Files]] = {
    ("cityscapes", "fine"): cityscapes,
    ("idd", "20k"): idd,
    ("bdd100k", "sem_seg"): bdd100k,
    ("bdd100k", "seg"): bdd100k_old,
    ("mapillary", "v2.0"): mapillary,
    ("mapillary", "v1"): mapillary_v1,
    ("camvid", "segnet"): camvid,
    ("camvid", "original"): camvid_original,
}

#: (source, layout) -> the label spaces that its label files are in
SPACES: dict[tuple[str, str], tuple[str, ...]] = {
    ("cityscapes", "fine"): ("cityscapes",),
    ("idd", "20k"): ("idd",),
    ("bdd100k", "sem_seg"): ("bdd100k",),
    ("bdd100k", "seg"): ("bdd100k",),
    ("mapillary", "v2.0"): ("mapillary-v1.2", "mapillary-v2.0"),
    ("mapillary", "v1"): ("mapillary-v1.2",),
    ("camvid", "segnet"): ("camvid-segnet",),
    ("camvid", "original"): ("camvid-32",),
}


def common_files(source: str, layout: str, cards: tuple[Card, ...]) -> Files:
    """The files of a dataset that belong to no picture: configs and lists."""
    if source == "mapillary" and layout == "v2.0":
        return {f"config_{release}.json": to_json(mapillary_config(release)) for release in ("v1.2", "v2.0")}
    if source == "mapillary":
        return {"config.json": to_json(mapillary_config("v1.2"))}
    if source == "camvid":
        names = {split: [_camvid_name(card) for card in cards if card.split == split] for split in ("train", "val")}
        lines = {
            split: "".join(f"/SegNet/CamVid/{split}/{n}.png /SegNet/CamVid/{split}annot/{n}.png\n" for n in listed)
            for split, listed in names.items()
        }
        return {f"{split}.txt": text.encode() for split, text in lines.items()}
    return {}

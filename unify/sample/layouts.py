"""Each dataset's own folders, file names and encodings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from unify.sample import annotate
from unify.sample import layouts_eval as evaluation
from unify.sample.annotate import Bytes, Drawn, instance_numbers, label_image
from unify.sample.coarse import coarse_polygons
from unify.sample.concepts import Concepts, load_concepts
from unify.sample.dice import Dice
from unify.sample.encode import Files, jpeg, palette_png, png, to_json
from unify.sample.layouts_eval import CITYSCAPES_THINGS
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
EXTRA_CITIES = (
    "augsburg",
    "bad-honnef",
    "bamberg",
    "bayreuth",
    "dortmund",
    "dresden",
    "duisburg",
    "erlangen",
    "freiburg",
    "heidelberg",
    "heilbronn",
    "karlsruhe",
    "konigswinter",
    "konstanz",
    "mannheim",
    "muhlheim-ruhr",
    "nuremberg",
    "oberhausen",
    "saarbrucken",
    "schweinfurt",
    "troisdorf",
    "wuppertal",
    "wurzburg",
)
_CITIES = {"train": TRAIN_CITIES, "val": VAL_CITIES, "train_extra": EXTRA_CITIES}
#: Damaged in the copies of train_extra that circulate, its label one-valued.
_DAMAGED = "train_extra/troisdorf/troisdorf_000000_000073"
KEY_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


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


# -- layouts -------------------------------------------------------------------------------------


def _table(space: str) -> tuple[Concepts, Bytes, Bytes]:
    concepts = load_concepts()
    return concepts, concepts.raw_ids(space), load_space(space).palette()


def _cityscapes_stem(card: Card) -> str:
    """{split}/{city}/{city}_{sequence}_{frame}"""
    cities = _CITIES[card.split]
    city = cities[(Dice(card.seed, "cityscapes", card.split).whole(0, 99) + card.index) % len(cities)]
    return f"{card.split}/{city}/{city}_{card.index // len(cities):06d}_{19 + 7 * card.index:06d}"


def _annotation(kind: str, stem: str, label_hw: Bytes, instance_hw: np.ndarray[Any, Any], polygons: object) -> Files:
    """The four files that Cityscapes has of an annotated picture."""
    opaque = np.concatenate([load_space("cityscapes").palette(), np.full((256, 1), 255, np.uint8)], axis=1)
    base = f"{kind}/{stem}_{kind}"
    return {
        f"{base}_labelIds.png": png(label_hw),
        f"{base}_instanceIds.png": png(instance_hw.astype(np.uint16)),
        f"{base}_color.png": png(opaque[label_hw]),
        f"{base}_polygons.json": to_json(polygons),
    }


def _left_image(card: Card, rendering: Rendering) -> Files:
    return {f"leftImg8bit/{_cityscapes_stem(card)}_leftImg8bit.png": png(rendering.image_hw3)}


def cityscapes(card: Card, rendering: Rendering) -> Files:
    """leftImg8bit and gtFine: label ids, instance ids, colours, polygons."""
    concepts, ids, _ = _table("cityscapes")
    label_hw = label_image(rendering, ids)
    numbers, raw = instance_numbers(rendering, ids, CITYSCAPES_THINGS)
    coded = np.where(numbers > 0, raw.astype(np.int32) * 1000 + numbers - 1, raw)
    drawn = annotate.drawn_polygons(rendering, concepts, "cityscapes", "unlabeled")
    height, width = label_hw.shape
    polygons = annotate.cityscapes_json(drawn, annotate.plates_of(rendering, concepts), width, height)
    return {
        **_left_image(card, rendering),
        **_annotation("gtFine", _cityscapes_stem(card), label_hw, coded[rendering.shape_hw], polygons),
    }


def cityscapes_coarse(card: Card, rendering: Rendering) -> Files:
    """leftImg8bit and gtCoarse: few polygons, and the label and instance images that they fill."""
    concepts = load_concepts()
    space = load_space("cityscapes")
    things = frozenset(c.name for c in space.classes if c.id in CITYSCAPES_THINGS)
    dice = Dice(card.seed, "cityscapes", card.split, card.index, "coarse")
    drawn = coarse_polygons(rendering, concepts, "cityscapes", things, dice)
    height, width = rendering.shape_hw.shape
    values = {c.name: c.id for c in space.classes}
    polygons = annotate.cityscapes_json(drawn, [], width, height)
    label_hw, instance_hw = _fill(drawn, values, things, height, width)
    return {
        **_left_image(card, rendering),
        **_annotation("gtCoarse", _cityscapes_stem(card), label_hw, instance_hw, polygons),
    }


def _fill(
    drawn: Sequence[Drawn], values: dict[str, int], things: frozenset[str], height: int, width: int
) -> tuple[Bytes, np.ndarray[Any, np.dtype[np.int32]]]:
    """(H, W) label ids and instance ids of polygons filled in their order."""
    from PIL import Image, ImageDraw

    picture = Image.new("I", (width, height), 0)
    pen = ImageDraw.Draw(picture)
    numbers: dict[str, dict[int, int]] = {}
    for one in drawn:
        value = values[one.label]
        if one.label in things and not one.group:
            known = numbers.setdefault(one.label, {})
            value = value * 1000 + known.setdefault(one.thing, len(known))
        pen.polygon(one.polygon.ravel().tolist(), fill=value)
    instance_hw = np.asarray(picture, np.int32)
    return np.where(instance_hw < 1000, instance_hw, instance_hw // 1000).astype(np.uint8), instance_hw


def cityscapes_both(card: Card, rendering: Rendering) -> Files:
    """gtFine and gtCoarse of the same pictures; train_extra has coarse labels only."""
    fine = {} if card.split == "train_extra" else cityscapes(card, rendering)
    return {**fine, **cityscapes_coarse(card, rendering)}


def _damaged_frame(width: int, height: int) -> Files:
    """The frame of train_extra that everybody leaves out."""
    blank_hw = np.zeros((height, width), np.uint8)
    polygons = {"imgHeight": height, "imgWidth": width, "objects": []}
    image = png(np.full((height, width, 3), 128, np.uint8))
    return {
        f"leftImg8bit/{_DAMAGED}_leftImg8bit.png": image,
        **_annotation("gtCoarse", _DAMAGED, blank_hw, blank_hw, polygons),
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


#: (source, layout) -> how a picture of a street is laid down; the first layout of a source is the usual one
LAYOUTS: dict[tuple[str, str], Callable[[Card, Rendering], Files]] = {
    ("cityscapes", "fine"): cityscapes,
    ("cityscapes", "coarse"): cityscapes_coarse,
    ("cityscapes", "fine+coarse"): cityscapes_both,
    ("idd", "20k"): idd,
    ("bdd100k", "sem_seg"): bdd100k,
    ("bdd100k", "seg"): bdd100k_old,
    ("mapillary", "v2.0"): mapillary,
    ("mapillary", "v1"): mapillary_v1,
    ("camvid", "segnet"): camvid,
    ("camvid", "original"): camvid_original,
    ("kitti", "2015"): evaluation.kitti,
    ("acdc", "all"): evaluation.acdc,
    ("wilddash", "public_02"): evaluation.wilddash_public_02,
    ("wilddash", "v2p0"): evaluation.wilddash_v2p0,
}

#: (source, layout) -> the label spaces that its label files are in
SPACES: dict[tuple[str, str], tuple[str, ...]] = {
    ("cityscapes", "fine"): ("cityscapes",),
    ("cityscapes", "coarse"): ("cityscapes",),
    ("cityscapes", "fine+coarse"): ("cityscapes",),
    ("idd", "20k"): ("idd",),
    ("bdd100k", "sem_seg"): ("bdd100k",),
    ("bdd100k", "seg"): ("bdd100k",),
    ("mapillary", "v2.0"): ("mapillary-v1.2", "mapillary-v2.0"),
    ("mapillary", "v1"): ("mapillary-v1.2",),
    ("camvid", "segnet"): ("camvid-segnet",),
    ("camvid", "original"): ("camvid-32",),
    ("kitti", "2015"): ("cityscapes",),
    ("acdc", "all"): ("cityscapes",),
    ("wilddash", "public_02"): ("wilddash-public-02",),
    ("wilddash", "v2p0"): ("wilddash-v2p0",),
}

#: (source, layout) -> what has to be known of each picture for the files that belong to all
NOTES: dict[tuple[str, str], Callable[[Card, Rendering], Any]] = {
    ("wilddash", release): partial(evaluation.wilddash_note, release=release) for release in ("public_02", "v2p0")
}


def splits_of(source: str, layout: str, images: int) -> dict[str, int]:
    """Split -> how many pictures, in the order in which they are written, for `images` to train on.

    A quarter of them for validation or testing; train_extra has as many as train; of ACDC's conditions, each
    has a quarter, rounded up, and splits of its own.
    """
    val = val_images(images)
    if source == "cityscapes" and layout != "fine":
        return {"train": images, "val": val, "train_extra": images}
    if source == "acdc":
        counts = {"train": -(-images // 4), "val": -(-val // 4)}
        return {evaluation.acdc_split(c, split): n for c in evaluation.CONDITIONS for split, n in counts.items()}
    if source == "kitti":
        return {"train": images, "test": val}
    if source == "wilddash":
        return {"train": images}
    return {"train": images, "val": val}


def val_images(images: int) -> int:
    """How many pictures for validation go with so many for training."""
    return max(1, images // 4)


def common_files(source: str, layout: str, cards: tuple[Card, ...], notes: list[Any]) -> Files:
    """The files of a dataset that belong to no picture: configs and lists. `notes`: what `NOTES` made of each."""
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
    if source == "cityscapes" and layout != "fine":
        return _damaged_frame(*cards[0].size)
    if source == "wilddash":
        return evaluation.wilddash_common(layout, notes)
    return {}

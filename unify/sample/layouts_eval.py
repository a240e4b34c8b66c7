"""The sets that models are tested on: KITTI, ACDC and WildDash 2, each with its own folders and encodings."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from unify.mapping import load_mapping
from unify.sample.annotate import Bytes, instance_numbers, label_image
from unify.sample.concepts import load_concepts, wilddash_things
from unify.sample.dice import Dice
from unify.sample.encode import Files, jpeg, png, to_json
from unify.sample.looks import LOOKS
from unify.sample.render import Rendering
from unify.sample.world import Card, render_card
from unify.spaces import load_space

#: Ids of the Cityscapes classes whose things are counted.
CITYSCAPES_THINGS = frozenset(range(24, 34))

# -- KITTI ---------------------------------------------------------------------------------------


def kitti(card: Card, rendering: Rendering) -> Files:
    """training/ with Cityscapes' label ids, instances as id * 256 + number, and colours; testing/ has images only."""
    name = f"{card.index:06d}_10.png"
    if card.split == "test":
        return {f"testing/image_2/{name}": png(rendering.image_hw3)}
    ids = load_concepts().raw_ids("cityscapes")
    label_hw = label_image(rendering, ids)
    return {
        f"training/image_2/{name}": png(rendering.image_hw3),
        f"training/semantic/{name}": png(label_hw),
        f"training/instance/{name}": png(_by_256(rendering, ids, CITYSCAPES_THINGS)),
        f"training/semantic_rgb/{name}": png(load_space("cityscapes").palette()[label_hw]),
    }


def _by_256(rendering: Rendering, ids: Bytes, countable: frozenset[int]) -> npt.NDArray[np.uint16]:
    """(H, W) uint16: raw id * 256 + number of the thing, 0 for none."""
    numbers, raw = instance_numbers(rendering, ids, countable)
    coded = raw.astype(np.int32) * 256 + np.minimum(numbers, 255)
    return coded.astype(np.uint16)[rendering.shape_hw]


# -- ACDC ----------------------------------------------------------------------------------------

#: ACDC's conditions -> the weather of the world that they are.
CONDITIONS = {"fog": "fog", "night": "dark", "rain": "rain", "snow": "snowfall"}
_FIRST_DRIVE = {"fog": 475, "night": 351, "rain": 400, "snow": 122}


def acdc_split(condition: str, split: str) -> str:
    """The split of a card: pictures of each condition are dealt by themselves."""
    return f"{condition}/{split}"


def acdc(card: Card, rendering: Rendering) -> Files:
    """rgb_anon/ and gt/; the same place in clear weather as a reference frame, which has no labels."""
    condition, split = card.split.split("/")
    sequence = f"GOPR{_FIRST_DRIVE[condition] + card.index // 20 + (0 if split == 'train' else 25):04d}"
    stem = f"{sequence}_frame_{41 + 30 * (card.index % 20):06d}"
    concepts = load_concepts()
    label_hw = label_image(rendering, concepts.raw_ids("cityscapes"))
    clear = render_card(replace(card, weather=("clear", "overcast")[card.index % 2]))
    unsure = (rendering.concept_hw() == concepts.index("unlabeled")).astype(np.uint8)
    base = f"gt/{condition}/{split}/{sequence}/{stem}_gt"
    return {
        f"rgb_anon/{condition}/{split}/{sequence}/{stem}_rgb_anon.png": png(rendering.image_hw3),
        f"rgb_anon/{condition}/{split}_ref/{sequence}/{stem}_rgb_ref_anon.png": png(clear.image_hw3),
        f"{base}_labelIds.png": png(label_hw),
        f"{base}_labelTrainIds.png": png(_train_ids()[label_hw]),
        f"{base}_labelColor.png": png(load_space("cityscapes").palette()[label_hw]),
        f"{base}_invIds.png": png(unsure),
        f"{base}_invGray.png": png(unsure * np.uint8(255)),
    }


@lru_cache(maxsize=1)
def _train_ids() -> Bytes:
    """(256,) uint8: Cityscapes' label ids to its 19 train ids, 255 where there is none."""
    table = np.full(256, 255, np.uint8)
    raw, train = load_space("cityscapes"), load_space("cityscapes19")
    for name, targets in load_mapping("cityscapes", "cityscapes19").rules.items():
        if targets:
            table[raw.index(name) % 256] = train.index(targets[0])
    return table


# -- WildDash 2 ----------------------------------------------------------------------------------

_HOMES = {"public_02": "wd_public_02", "v2p0": "wd_public_v2p0"}
_SPACES = {"public_02": "wilddash-public-02", "v2p0": "wilddash-v2p0"}


def _wilddash_name(card: Card) -> str:
    dice = Dice(card.seed, "wilddash", card.split, card.index, "name")
    country = dice.pick(("at", "au", "br", "ca", "cn", "cz", "de", "eg", "in", "is", "jp", "ma", "my", "no", "us"))
    return f"{country}{card.index:04d}_{dice.whole(100000, 999999)}"


@lru_cache(maxsize=2)
def _wilddash_things(release: str) -> frozenset[int]:
    """Ids of the classes of a release whose things are told apart; its early names have spaces."""
    ids = {c.id for c in load_space("wilddash-v2p0").classes if c.name in wilddash_things()}
    return frozenset(ids & load_space(_SPACES[release]).ids)


def _segments(card: Card, rendering: Rendering, release: str) -> tuple[npt.NDArray[np.int32], list[dict[str, Any]]]:
    """(H, W) segment ids, 0 where unlabeled, and COCO's segments_info of them."""
    ids = load_concepts().raw_ids(_SPACES[release])
    things = _wilddash_things(release)
    numbers, raw = instance_numbers(rendering, ids, things)
    coded = np.where(raw > 0, 1000 * raw.astype(np.int32) + np.minimum(numbers, 999), 0)
    segment_hw = coded[rendering.shape_hw]
    segments = []
    for segment in np.unique(segment_hw[segment_hw > 0]).tolist():
        rows, columns = np.nonzero(segment_hw == segment)
        left, top = int(columns.min()), int(rows.min())
        segments.append(
            {
                "id": segment,
                "category_id": segment // 1000,
                "area": len(rows),
                "bbox": [left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1],
                "iscrowd": int(segment % 1000 == 0 and segment // 1000 in things),  # a group of things
            }
        )
    return segment_hw, segments


def _wilddash(card: Card, rendering: Rendering, release: str) -> Files:
    home, name = _HOMES[release], _wilddash_name(card)
    segment_hw, _ = _segments(card, rendering, release)
    rgb_hw3 = np.stack([segment_hw >> shift & 255 for shift in (0, 8, 16)], -1).astype(np.uint8)
    return {
        f"{home}/images/{name}.jpg": jpeg(rendering.image_hw3, LOOKS["wilddash"].quality),
        f"{home}/panoptic/{name}.png": png(rgb_hw3),
    }


def wilddash_v2p0(card: Card, rendering: Rendering) -> Files:
    """Panoptic images only; panoptic.json says what their segments are."""
    return _wilddash(card, rendering, "v2p0")


def wilddash_public_02(card: Card, rendering: Rendering) -> Files:
    """The beta: label and instance images, too."""
    home, name = _HOMES["public_02"], _wilddash_name(card)
    ids = load_concepts().raw_ids(_SPACES["public_02"])
    return {
        **_wilddash(card, rendering, "public_02"),
        f"{home}/labels/{name}.png": png(label_image(rendering, ids)),
        f"{home}/instances/{name}.png": png(_by_256(rendering, ids, _wilddash_things("public_02"))),
    }


def wilddash_note(card: Card, rendering: Rendering, release: str) -> dict[str, Any]:
    """What panoptic.json says of one picture: its entries below `images` and `annotations`."""
    name = _wilddash_name(card)
    width, height = card.size
    _, segments = _segments(card, rendering, release)
    return {
        "images": {"id": name, "file_name": f"{name}.jpg", "width": width, "height": height},
        "annotations": {"file_name": f"{name}.png", "image_id": name, "segments_info": segments},
    }


def wilddash_common(release: str, notes: list[dict[str, Any]]) -> Files:
    """panoptic.json."""
    things = _wilddash_things(release)
    categories = [
        {"id": c.id, "name": c.name, "isthing": int(c.id in things), "color": list(c.color)}
        for c in load_space(_SPACES[release]).classes
    ]
    parts = {part: [note[part] for note in notes] for part in ("images", "annotations")}
    return {f"{_HOMES[release]}/panoptic.json": to_json({**parts, "categories": categories})}

"""Mapillary Vistas (Neuhold et al., ICCV 2017); images vary in size.

The v1.x download: {training|validation}/images/{key}.jpg, {...}/labels/{key}.png and config.json. The
v2.0 download: images as before, {...}/v1.2/labels/, {...}/v2.0/labels/, config_v1.2.json and
config_v2.0.json: it holds both releases. A pixel is the position in the config's list of labels. Beside each
labels/ lies instances/, 16-bit PNGs of that position * 256 + number.

Traps: labels are palette PNGs, whose indices count and whose colours are not unique in v2.0; releases
1.1 and 1.2 have the same 66 labels, and the config of 1.2 calls itself 1.1, so that only the labels
themselves tell the release; keys may begin with "-".
Layout: NVIDIA semantic-segmentation, PREPARE_DATASETS.md (v1.x); mmsegmentation, dataset_prepare.md (v2.0).
Instances: as Mapillary's own seamseg reads them, every value of a label that has instances is one, number 0 too.
"""

from __future__ import annotations

import json
from functools import cache, partial
from pathlib import Path

from unify.errors import UnifyError
from unify.publish.licences import LICENCES
from unify.sources.base import Detection, InstanceFiles, Listing, Release, Source
from unify.sources.files import read_small
from unify.sources.pairs import Side, pair_folders
from unify.spaces import load_space

_FOLDER_OF_SPLIT = {"train": "training", "val": "validation"}
_RELEASES = ("v1.2", "v2.0")
#: Positions of the labels that their config says have instances: 37 and 72 of them.
_THINGS = {
    "v1.2": frozenset([0, 1, 8, *range(19, 24), *range(32, 43), *range(44, 58), *range(59, 63)]),
    "v2.0": frozenset(
        [0, 1, 11, 14, 16, 30, *range(32, 35), *range(39, 48), *range(50, 55), *range(66, 77), *range(78, 86),
         *range(87, 115), 116, 117]
    ),
}  # fmt: skip
_MAX_CONFIG_BYTES = 1 << 20  # the config of v2.0 has some 30 kB


def list_pairs(root: Path, split: str, follow_links: bool, *, release: str) -> Listing:
    folder = _FOLDER_OF_SPLIT[split]
    labels = f"{release}/labels" if (root / f"config_{release}.json").exists() else "labels"
    return pair_folders(
        root,
        Side(f"{folder}/images", (".jpg",)),
        Side(f"{folder}/{labels}", (".png",)),
        follow_links=follow_links,
    )


def detect(root: Path) -> Detection | None:
    """A folder with training/images/ or validation/images/, or with a Mapillary config in it.

    The labels in its config files have to be those of a known release, name by name.
    """
    has_images = any((root / folder / "images").is_dir() for folder in _FOLDER_OF_SPLIT.values())
    configs = [name for name in ("config.json", "config_v1.2.json", "config_v2.0.json") if (root / name).exists()]
    found = {name: _config_labels(root / name) for name in configs}
    if not has_images and not any("--" in label for labels in found.values() for label in labels):
        return None
    offers: list[str] = []
    missing: list[str] = [] if has_images else ["training/images/ and validation/images/"]
    for name, labels in found.items():
        release = next((r for r in _RELEASES if labels == _labels(r)), None)
        if release and name in ("config.json", f"config_{release}.json"):
            offers.append(release)
        else:
            known = " or ".join(
                f"the {len(_labels(r))} labels of {r}" for r in _RELEASES if r in name or name == "config.json"
            )
            missing.append(f"{known} in {name} (it lists {len(labels)}{', other ones' if labels else ''})")
    if not configs:
        missing.append("config.json (v1.x), or config_v1.2.json and config_v2.0.json")
    offers = sorted(set(offers))
    return Detection("mapillary", offers[0] if offers else "v1.2", root, tuple(missing), tuple(offers))


@cache
def _labels(release: str) -> tuple[str, ...]:
    return load_space(f"mapillary-{release}").names


def _config_labels(path: Path) -> tuple[str, ...]:
    """Names of the labels that a config lists, in order; () if it is none."""
    try:
        config = json.loads(read_small(path, _MAX_CONFIG_BYTES))
    except (OSError, UnifyError, ValueError, RecursionError):
        return ()
    labels = config.get("labels") if isinstance(config, dict) else None
    if not isinstance(labels, list):
        return ()
    return tuple(str(label.get("name")) if isinstance(label, dict) else "" for label in labels)


def _release(name: str, train_space: str) -> Release:
    return Release(
        name=name,
        space=f"mapillary-{name}",
        train_space=train_space,
        splits={"train": 18000, "val": 2000},
        label="palette",
        label_file=f"the palette PNGs of {name}, labels/*.png (not instances, not panoptic)",
        list_pairs=partial(list_pairs, release=name),
        withheld={"test": "Mapillary keeps its test labels to itself"},
        instances=InstanceFiles(256, ("/labels/", "/instances/"), things=_THINGS[name]),
    )


MAPILLARY = Source(
    name="mapillary",
    letter="M",
    title="Mapillary Vistas",
    homepage="https://www.mapillary.com/dataset/vistas",
    license=LICENCES["mapillary"].name,
    citation="G. Neuhold et al., The Mapillary Vistas Dataset for Semantic Understanding of Street Scenes, ICCV 2017.",
    layout="training/, validation/ and config.json (v1.x), or config_v1.2.json and config_v2.0.json",
    version=1,
    releases={"v1.2": _release("v1.2", "mapillary65"), "v2.0": _release("v2.0", "mapillary123")},
    detect=detect,
)

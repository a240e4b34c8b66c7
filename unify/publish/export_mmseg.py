"""The config that mmsegmentation 1.x reads an exported folder with.

A `BaseSegDataset` knows one image suffix. So there is an entry for each source and suffix, and mmengine's
`ConcatDataset` joins the entries of a split; that also lets a trainer weigh or leave out a source.
Read for this: mmseg/datasets/basesegdataset.py, mmengine/dataset/dataset_wrapper.py, mmengine/config/config.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from unify import __version__
from unify.spaces import LabelSpace


@dataclass(frozen=True, slots=True)
class Entry:
    """Images of one split, source and suffix: a `BaseSegDataset`. Paths are relative to the exported folder."""

    split: str
    source: str
    images: int
    img_path: str
    seg_map_path: str
    img_suffix: str
    seg_map_suffix: str


def config_text(title: str, digest: str, space: LabelSpace, entries: Sequence[Entry]) -> str:
    """`dataset.py`: classes, palette, the entries of each split, data loaders for train, val and test.

    `title`, `digest`: of the version. It is valid Python on its own, too.
    """
    splits = list(dict.fromkeys(entry.split for entry in entries))
    loaders = [f"train_dataloader = {_loader('train', 4)}"] if "train" in splits else []
    for loader, wanted in (("val", ("val",)), ("test", ("test", "val"))):
        found = next((split for split in wanted if split in splits), None)
        if found:
            loaders.append(f"{loader}_dataloader = {_loader(found, 1)}")
            loaders.append(f"{loader}_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])")
    return "\n".join(
        [
            f"# {title} (digest {digest}) for mmsegmentation 1.x; written by unify {__version__}.",
            "# Name it in `_base_`. mmengine puts this file's folder for fileDirname; set data_root yourself where",
            "# the config lies elsewhere. Ids are 0..num_classes-1 and 255 void, so reduce_zero_label stays False.",
            "",
            "data_root = '{{ fileDirname }}'",
            f"num_classes = {len(space)}",
            "metainfo = dict(",
            "    classes=(",
            *(f"        {c.name!r}," for c in space.classes),
            "    ),",
            "    palette=[",
            *(f"        [{c.color[0]}, {c.color[1]}, {c.color[2]}]," for c in space.classes),
            "    ],",
            ")",
            "",
            "train_pipeline = [",
            "    dict(type='LoadImageFromFile'),",
            "    dict(type='LoadAnnotations', reduce_zero_label=False),",
            "    dict(type='RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75),",
            "    dict(type='RandomFlip', prob=0.5),",
            "    dict(type='PackSegInputs'),",
            "]",
            "test_pipeline = [",
            "    dict(type='LoadImageFromFile'),",
            "    dict(type='LoadAnnotations', reduce_zero_label=False),",
            "    dict(type='PackSegInputs'),",
            "]",
            "",
            "# an entry for each source and image suffix",
            "split_datasets = {",
            *(line for split in splits for line in _list(split, [e for e in entries if e.split == split])),
            "}",
            "",
            *loaders,
            "",
        ]
    )


def _list(split: str, entries: Iterable[Entry]) -> list[str]:
    lines = [f"    {split!r}: ["]
    for e in entries:
        lines += [
            "        dict(",
            f"            type='BaseSegDataset',  # {e.source}: {e.images} images",
            "            data_root=data_root,",
            f"            data_prefix=dict(img_path={e.img_path!r}, seg_map_path={e.seg_map_path!r}),",
            f"            img_suffix={e.img_suffix!r},",
            f"            seg_map_suffix={e.seg_map_suffix!r},",
            "            metainfo=metainfo,",
            f"            pipeline={'train_pipeline' if split.startswith('train') else 'test_pipeline'},",
            "        ),",
        ]
    return [*lines, "    ],"]


def _loader(split: str, batch_size: int) -> str:
    shuffled = "True" if split == "train" else "False"
    sampler = "InfiniteSampler" if split == "train" else "DefaultSampler"
    return (
        "dict(\n"
        f"    batch_size={batch_size},\n"
        "    num_workers=4,\n"
        "    persistent_workers=True,\n"
        f"    sampler=dict(type='{sampler}', shuffle={shuffled}),\n"
        f"    dataset=dict(type='ConcatDataset', datasets=split_datasets[{split!r}]),\n"
        ")"
    )

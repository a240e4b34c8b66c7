"""The dataset card: README.md of a version. Its YAML head tells `datasets` what to load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import yaml

from unify import __version__
from unify.centroids import TILE_PX
from unify.features import CPP_SCALES, card_features, columns
from unify.publish.licences import hub_licence, notice
from unify.sources import SOURCES

if TYPE_CHECKING:
    import pyarrow as pa

    from unify.describe import Outline

_COLUMN_TEXT = {
    "image": "the source's own file, byte for byte",
    "label": "8-bit gray PNG; pixel = class id, {void} = void",
    "centroid_class": "per tile of {tile}x{tile} pixels, row by row, the classes in it",
    "centroid_y": "and the mean row of each one's pixels in that tile, in pixels of the whole image",
    "centroid_x": "and their mean column",
    **{
        f"cpp_{s}": f"gray PNG: pixels of each code of the label in each cell of {s}x{s}, codes as in `pixel_count`, "
        "a map below the other; null where all is void"
        for s in CPP_SCALES
    },
    "instance": "16-bit gray PNG of the source's own id of the class * d + number, with d = {divisors}; null where "
    "things are not told apart",
    "instance_count": "distinct instances per class, as `pixel_count`; null without `instance`",
    "label_source": "8-bit gray PNG; pixel = the source's own id",
    "erased": "8-bit gray PNG; 255 where the image was filled in, 0 where it is as it was",
    "source": "which dataset the sample is from",
    "sample_id": "`<source>/<split>/<id in the split>`",
    "height": "pixels",
    "width": "pixels",
    "classes": "classes present in the label",
    "pixel_count": "pixels per class, in id order; void last",
}


def card(outline: Outline, version: str, stats: pa.Table, splits: Mapping[str, Mapping[str, int]]) -> str:
    """The whole card. `stats` as `describe.count` makes it; `splits` is source → split → images."""
    return f"---\n{_head(outline, splits)}---\n\n{_body(outline, version, stats, splits)}"


def _head(outline: Outline, splits: Mapping[str, Mapping[str, int]]) -> str:
    names = outline.taxonomy.space.names
    every = {split: None for per_split in splits.values() for split in per_split}
    union = [
        {"split": split, "path": [f"data/{s}/{split}-*.parquet" for s in splits if split in splits[s]]}
        for split in every
    ]
    configs = [{"config_name": "union", "default": True, "data_files": union}]
    for source, per_split in splits.items():
        files = [{"split": split, "path": f"data/{source}/{split}-*.parquet"} for split in per_split]
        if files:
            configs.append({"config_name": source, "data_files": files})
    features = card_features(outline.options, list(outline.origins), names)
    titles = " + ".join(origin.title for origin in outline.origins.values())
    licence = hub_licence(_facts(outline))
    head = {
        "pretty_name": f"{titles} in {outline.taxonomy.space.name}",
        "license": licence,
        **({"license_name": "terms-of-the-sources", "license_link": "README.md"} if licence == "other" else {}),
        "task_categories": ["image-segmentation"],
        "task_ids": ["semantic-segmentation"],
        "size_categories": [_size_category(sum(n for per_split in splits.values() for n in per_split.values()))],
        "annotations_creators": sorted({_annotator(origin.generated) for origin in outline.origins.values()}),
        "source_datasets": ["extended"],
        "tags": ["semantic-segmentation", "multi-dataset", "unify"],
        "configs": configs,
        # no `splits` in dataset_info: `datasets` would then refuse every load with `filters=`, for its count of rows
        "dataset_info": [{"config_name": c["config_name"], "features": features} for c in configs],
    }
    configs += [
        {"config_name": name, "data_files": f"{name}.parquet"} for name in ("stats", "cooccurrence", *outline.tables)
    ]
    # no aliases: each config spells its features out, as the Hub writes them
    dumper = type("Dumper", (yaml.SafeDumper,), {"ignore_aliases": lambda self, data: True})
    return yaml.dump(head, Dumper=dumper, sort_keys=False, allow_unicode=True, width=1000)


def _facts(outline: Outline) -> dict[str, dict[str, bool]]:
    return {name: {"generated": origin.generated} for name, origin in outline.origins.items()}


def _annotator(generated: bool) -> str:
    return "machine-generated" if generated else "expert-generated"


def _size_category(images: int) -> str:
    """As the Hub names them: n<1K, 1K<n<10K, ... 1M<n<10M."""
    steps = ["1K", "10K", "100K", "1M", "10M"]
    for i, step in enumerate(steps):
        if images < 10 ** (i + 3):
            return f"{steps[i - 1]}<n<{step}" if i else f"n<{step}"
    return "n>10M"


def _body(outline: Outline, version: str, stats: pa.Table, splits: Mapping[str, Mapping[str, int]]) -> str:
    space, texts = outline.taxonomy.space, {**_COLUMN_TEXT, **outline.column_texts}
    letters = " + ".join(origin.title for origin in outline.origins.values())
    generated = [origin.title for origin in outline.origins.values() if origin.generated]
    parts = [
        f"# {outline.name} {version}",
        f"{letters} in one label space, `{space.name}`: {len(space)} classes. Built with unify {__version__}.",
    ]
    if outline.taxonomy.variants:
        parts.append(f"Mapped by these variants of the tables: {', '.join(outline.taxonomy.variants)}.")
    parts += outline.notes
    if generated:
        parts.append(f"**Generated images**, not the real dataset: {', '.join(generated)} (`unify sample`).")
    parts += [
        "```python\nimport datasets\n\n"
        'dataset = datasets.load_dataset("PATH")          # all sources\n'
        f'dataset = datasets.load_dataset("PATH", "{next(iter(outline.origins))}")  # one of them\n```',
        "`taxonomy.json` holds the label space, each source's rules and null mask (which classes it annotates "
        "at all); `stats.parquet` pixels, images and instances per class; `cooccurrence.parquet` how many images "
        "show two classes; `inputs.parquet` the BLAKE3 of every raw file; `manifest.json` that of every file here.",
        "## Sources\n\n" + _source_table(outline, splits),
        "## Columns\n\n"
        + _table(
            ["column", "holds"],
            [
                [f"`{c}`", texts[c].format(void=space.void, tile=TILE_PX, divisors=_divisors(outline))]
                for c in columns(outline.options)
            ],
        ),
        "## Classes\n\n" + _class_table(outline, stats),
        "## Licences and citation\n\n"
        "Images and labels stay under their datasets' own terms; what was found of these, without warranty:\n\n"
        + "\n".join(f"- {line}" for line in notice(_facts(outline), outline.origins))
        + "\n\nCite the datasets:\n\n"
        + "\n".join(
            f"- {origin.title}: {origin.citation} Terms: {origin.license}." for origin in outline.origins.values()
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _divisors(outline: Outline) -> str:
    """How the sources that tell things apart make one number of class and thing."""
    found: dict[int, list[str]] = {}
    for name, origin in outline.origins.items():
        release = SOURCES[name].releases.get(origin.release) if name in SOURCES else None
        if release and release.instances:
            found.setdefault(release.instances.divisor, []).append(name)
    return ", ".join(f"{divisor} ({', '.join(names)})" for divisor, names in found.items()) or "none"


def _source_table(outline: Outline, splits: Mapping[str, Mapping[str, int]]) -> str:
    null_mask = outline.taxonomy.null_mask
    rows = []
    for i, (source, origin) in enumerate(outline.origins.items()):
        counts = ", ".join(f"{split} {n}" for split, n in splits[source].items()) or "none"
        title = f"[{origin.title}]({origin.homepage})" if origin.homepage else origin.title
        rows.append([f"`{source}`", title, origin.release, counts, str(int(null_mask[i].sum()))])
    return _table(["config", "dataset", "release", "images", "classes it annotates"], rows)


def _class_table(outline: Outline, stats: pa.Table) -> str:
    pixels: dict[int, int] = {}
    images: dict[int, int] = {}
    named = ("class_id", "pixels", "images")
    for class_id, n_pixels, n_images in zip(*(stats[c].to_pylist() for c in named), strict=True):
        pixels[class_id] = pixels.get(class_id, 0) + n_pixels
        images[class_id] = images.get(class_id, 0) + n_images
    total = sum(pixels.values()) or 1
    null_mask = outline.taxonomy.null_mask
    rows = []
    for i, c in enumerate(outline.taxonomy.space.classes):
        letters = "".join(o.letter for o, mask in zip(outline.origins.values(), null_mask, strict=True) if mask[i])
        share = f"{100 * pixels.get(i, 0) / total:.3f}"
        rows.append([str(i), c.name, letters, share, str(images.get(i, 0)), "#{:02x}{:02x}{:02x}".format(*c.color)])
    return _table(["id", "class", "annotated by", "% of pixels", "images", "colour"], rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells)

"""Maps of uncertainty as a version: what an ensemble was unsure of, image by image, beside the version that it saw.

maps/<source>/<split>-*.parquet   a row an image, in the files and the order of the version that the nets saw:
    sample_id, source, height, width
    uncertainty      16-bit gray PNG: value * `nats_per_step` is U in nats, 0..ln K; a pixel weighs (1 + U)^2
    prediction       8-bit gray PNG: the ensemble's answer, of which the components are
    entropy          16-bit gray PNG, on the same scale: of the pixel alone (optional)
    component        16-bit gray PNG: numbers of the components, by first pixel (optional)
    components       how many there are
    mean             of U over the image
classes.parquet      a row a class, source and split: what was predicted as it and what is labelled it, and how
                     unsure the nets were of it                                  load_dataset(DIR, "classes")
samples.parquet      the raw files of each row, as the inputs.parquet of the version has them
taxonomy.json        of that version; README.md: the card; manifest.json: written last, digests and lineage

Images and labels are not copied: rows join by `sample_id`. Files have other names than those of a version of images,
and the manifest counts no images in splits, so that no command for these takes one for the other.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from unify import __version__, storage
from unify.artifact import Artifact, locate, open_artifact, versions
from unify.codecs import encode_ids16, encode_label
from unify.commit import Result
from unify.describe import input_digests, to_parquet
from unify.errors import error
from unify.manifest import FILE, File, Manifest, next_version
from unify.parquet import ARROW_OPTIONS
from unify.plan import digest_of
from unify.rows import ROW_GROUP_BYTES

FORMAT = 1  #: of these files
FOLDER, CLASSES, SAMPLES = "maps/", "classes.parquet", "samples.parquet"
STEPS = 65535  #: of a 16-bit value; the last is ln K
OPTIONS = ("component", "entropy")  #: columns that may be left out
_OPERATION = "uncertainty"


@dataclass(frozen=True, slots=True, eq=False)
class MapRow:
    """What is known of an image. `uncertainty_hw`, `entropy_hw`: float32, nats. `label_hw`, `prediction_hw`: uint8.
    `component_hw`: int32. `shard`: path of its file in the version that the nets saw.
    """

    sample_id: str
    source: str
    split: str
    shard: str
    label_hw: NDArray[np.uint8]
    prediction_hw: NDArray[np.uint8]
    uncertainty_hw: NDArray[np.float32]
    entropy_hw: NDArray[np.float32]
    component_hw: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Plan:
    """Maps to be made of the rows of `splits` of `parent`. `how`: all that decides them besides, in plain types."""

    parent: Artifact
    name: str
    splits: tuple[str, ...]
    options: tuple[str, ...]
    how: Mapping[str, Any]
    parents: tuple[str, ...]  # digests of the checkpoints

    def recipe(self) -> dict[str, Any]:
        before = self.parent.manifest.recipe
        step = {"operation": _OPERATION, "format": FORMAT, "splits": sorted(self.splits), **self.how}
        return {
            "taxonomy": before["taxonomy"],
            "adapters": before["adapters"],
            "options": sorted(self.options),
            "steps": [*before.get("steps", ()), step],
            "parent": self.parent.digest,
        }

    @property
    def digest(self) -> str:
        return digest_of({"name": self.name, **self.recipe()})


def planned(
    parent: Artifact,
    splits: Sequence[str],
    how: Mapping[str, Any],
    parents: Sequence[str],
    *,
    options: Sequence[str] = (),
    name: str | None = None,
) -> Plan:
    """A plan; `name` is by default `<parent>-uncertainty`.

    Raises `UnifyError` (usage) for a split that the parent has not.
    """
    known = sorted({split for facts in parent.manifest.sources.values() for split in facts["splits"]})
    unknown = [split for split in splits if split not in known]
    if unknown:
        raise error("usage", parent.path, f"has no split '{unknown[0]}'", f"known: {', '.join(known)}")
    name = name or f"{parent.manifest.name}-uncertainty"
    return Plan(parent, name, tuple(splits), tuple(options), how, tuple(parents))


def standing(plan: Plan, out: Path) -> Artifact | None:
    """The newest version of that name below `out`, if it is of this very plan."""
    found = versions(out / plan.name)
    return found[-1] if found and found[-1].manifest.plan == plan.digest else None


def nats_per_step(num_classes: int) -> float:
    """What a step of the 16-bit maps means: ln K / 65535."""
    return math.log(max(num_classes, 2)) / STEPS


# --- Writing ------------------------------------------------------------------------------------------------


def write_maps(plan: Plan, rows: Iterable[MapRow], out: Path) -> Result:
    """Write the rows, which come file by file, as a version below `out`; or find it there. One row at a time in memory.

    Raises `UnifyError`: usage (2) where there are more components than 16 bits number; busy (75); io (74).
    """
    folder = out / plan.name
    storage.make_dirs(folder)
    with storage.lock(folder):
        if (there := standing(plan, out)) is not None:
            return Result(there, False, ())
        known = versions(folder)
        tree = folder / f".uncertainty.{os.getpid()}.tmp"
        storage.remove_tree(tree)
        try:
            storage.make_dirs(tree)
            return Result(_written(plan, rows, folder, tree, known[-1] if known else None), True, ())
        finally:
            storage.remove_tree(tree)


def _written(plan: Plan, rows: Iterable[MapRow], folder: Path, tree: Path, previous: Artifact | None) -> Artifact:
    classes = Summary(len(plan.parent.taxonomy.space))
    files: dict[str, File] = {}
    splits: dict[str, dict[str, int]] = {name: {} for name in plan.parent.manifest.sources}
    ids: list[str] = []
    for (source, split, shard), group in itertools.groupby(rows, key=lambda row: (row.source, row.split, row.shard)):
        path = FOLDER + shard.removeprefix("data/")
        storage.make_dirs((tree / path).parent)
        before = len(ids)
        files[path] = _write_shard(plan, group, tree / path, classes, ids)
        splits[source][split] = splits[source].get(split, 0) + len(ids) - before
    samples = _inputs_of(plan.parent, ids)
    recipe = plan.recipe()
    earlier = {} if previous is None else input_digests(previous.table(SAMPLES))
    version = next_version(previous.manifest if previous else None, earlier, recipe, input_digests(samples))
    tables = {CLASSES: classes.table(plan.parent.taxonomy.space.names), SAMPLES: samples}
    more = {name: to_parquet(table) for name, table in tables.items()}
    more["taxonomy.json"] = plan.parent.read("taxonomy.json")
    more["README.md"] = _card(plan, version, splits).encode()
    for name, data in more.items():
        files[name] = File(*storage.write_file(tree / name, data))
    manifest = Manifest(
        name=plan.name,
        version=version,
        plan=plan.digest,
        recipe=recipe,
        space=plan.parent.manifest.space,
        classes=plan.parent.manifest.classes,
        columns=tuple(_schema(plan).names),
        sources={
            name: {"release": facts["release"], "generated": facts["generated"], "splits": {}, "maps": splits[name]}
            for name, facts in plan.parent.manifest.sources.items()
        },
        images=len(ids),
        rejects=0,
        parents=(plan.parent.digest, *plan.parents),
        made_with={"unify": __version__, "pyarrow": pa.__version__},
        files=dict(sorted(files.items())),
    )
    storage.write_file(tree / FILE, manifest.to_json())
    storage.publish(tree, folder / version)
    return open_artifact(folder / version)


def _write_shard(plan: Plan, rows: Iterable[MapRow], path: Path, classes: Summary, ids: list[str]) -> File:
    schema, step = _schema(plan), nats_per_step(plan.parent.manifest.classes)
    with storage.new_file(path) as file:
        with pq.ParquetWriter(pa.PythonFile(file, mode="w"), schema, **ARROW_OPTIONS) as writer:
            group: list[dict[str, Any]] = []
            size = 0
            for row in rows:
                group.append(_cells(plan, row, step))
                size += sum(len(cell["bytes"]) for cell in group[-1].values() if isinstance(cell, dict))
                classes.add(row)
                ids.append(row.sample_id)
                if size >= ROW_GROUP_BYTES:
                    writer.write_table(pa.Table.from_pylist(group, schema), row_group_size=len(group))
                    group, size = [], 0
            if group:
                writer.write_table(pa.Table.from_pylist(group, schema), row_group_size=len(group))
        return File(*file.commit())


def _cells(plan: Plan, row: MapRow, step: float) -> dict[str, Any]:
    count = int(row.component_hw.max()) + 1
    name = row.sample_id.rsplit("/", 1)[-1] + ".png"
    height, width = row.label_hw.shape
    cells: dict[str, Any] = {
        "sample_id": row.sample_id,
        "source": list(plan.parent.manifest.sources).index(row.source),
        "height": height,
        "width": width,
        "uncertainty": {"bytes": encode_ids16(quantized(row.uncertainty_hw, step)), "path": name},
        "prediction": {"bytes": encode_label(row.prediction_hw)[0], "path": name},
        "components": count,
        "mean": float(row.uncertainty_hw.mean(dtype=np.float64)),
    }
    if "entropy" in plan.options:
        cells["entropy"] = {"bytes": encode_ids16(quantized(row.entropy_hw, step)), "path": name}
    if "component" in plan.options:
        if count > STEPS + 1:
            what = f"has {count:,} components, more than 16 bits number"
            raise error("usage", row.sample_id, what, "leave their numbers out: they follow from the column prediction")
        cells["component"] = {"bytes": encode_ids16(row.component_hw.astype(np.uint16)), "path": name}
    return cells


def quantized(nats_hw: NDArray[np.float32], step: float) -> NDArray[np.uint16]:
    """The nearest of the 65,536 values; off by half a step at most."""
    return np.rint(nats_hw / np.float64(step)).clip(0, STEPS).astype(np.uint16)


def _schema(plan: Plan) -> pa.Schema:
    sources, encoded = list(plan.parent.manifest.sources), pa.struct({"bytes": pa.binary(), "path": pa.string()})
    kinds: dict[str, tuple[pa.DataType, dict[str, Any]]] = {
        "sample_id": (pa.string(), {"dtype": "string", "_type": "Value"}),
        "source": (pa.int64(), {"names": sources, "_type": "ClassLabel"}),
        "height": (pa.int32(), {"dtype": "int32", "_type": "Value"}),
        "width": (pa.int32(), {"dtype": "int32", "_type": "Value"}),
    }
    images = ("uncertainty", "prediction", *(name for name in OPTIONS if name in plan.options))
    kinds |= dict.fromkeys(images, (encoded, {"_type": "Image"}))
    kinds["components"] = (pa.int32(), {"dtype": "int32", "_type": "Value"})
    kinds["mean"] = (pa.float64(), {"dtype": "float64", "_type": "Value"})
    features = {name: feature for name, (_, feature) in kinds.items()}
    fields = [pa.field(name, kind) for name, (kind, _) in kinds.items()]
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _inputs_of(parent: Artifact, ids: Iterable[str]) -> pa.Table:
    """The parent's rows of these samples, in this order."""
    table = parent.inputs()
    place = {sample_id: i for i, sample_id in enumerate(table["sample_id"].to_pylist())}
    return table.take(pa.array([place[sample_id] for sample_id in ids], pa.int64()))


# --- Summaries ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Summary:
    """Sums over rows, by source and split: pixels and uncertainty, by predicted and by labelled class."""

    num_classes: int
    sums: dict[tuple[str, str], dict[str, NDArray[Any]]] = field(default_factory=dict)

    def add(self, row: MapRow) -> None:
        nats_n = row.uncertainty_hw.ravel()
        highest_n = np.maximum.accumulate(row.component_hw.ravel())
        first = np.flatnonzero(np.diff(highest_n, prepend=-1))  # they are numbered by their first pixels
        found: dict[str, NDArray[Any]] = {"components": np.bincount(row.prediction_hw.ravel()[first], minlength=256)}
        for what, id_hw in (("predicted", row.prediction_hw), ("labelled", row.label_hw)):
            id_n = id_hw.ravel()
            found[f"{what}_pixels"] = np.bincount(id_n, minlength=256)
            found[f"{what}_nats"] = np.bincount(id_n, nats_n, 256)
            found[f"{what}_weight"] = np.bincount(id_n, (1 + nats_n.astype(np.float64)) ** 2, 256)
        here = self.sums.setdefault((row.source, row.split), {})
        for name, values in found.items():
            here[name] = here[name] + values if name in here else values

    def table(self, names: Sequence[str]) -> pa.Table:
        """Rows of source, split, class_id, class; of what was predicted as the class, and of what is labelled it:
        pixels, mean uncertainty (nats), mean weight (null without a pixel); components that were predicted as it.
        """
        rows = []
        for (source, split), found in self.sums.items():
            for k, name in enumerate(names):
                row: dict[str, Any] = {"source": source, "split": split, "class_id": k, "class": name}
                row["components"] = int(found["components"][k])
                for what in ("predicted", "labelled"):
                    pixels = int(found[f"{what}_pixels"][k])
                    row[f"{what}_pixels"] = pixels
                    for column, key in (("uncertainty", "nats"), ("weight", "weight")):
                        row[f"{what}_{column}"] = float(found[f"{what}_{key}"][k] / pixels) if pixels else None
                rows.append(row)
        text, number, count = pa.string(), pa.float64(), pa.int64()
        types = {"source": text, "split": text, "class_id": count, "class": text, "components": count}
        for what in ("predicted", "labelled"):
            types |= {f"{what}_pixels": count, f"{what}_uncertainty": number, f"{what}_weight": number}
        return pa.Table.from_pylist(rows, pa.schema(list(types.items())))


def _card(plan: Plan, version: str, splits: Mapping[str, Mapping[str, int]]) -> str:
    used = {source: found for source, found in splits.items() if found}
    names = list(dict.fromkeys(split for found in used.values() for split in found))
    configs: list[dict[str, Any]] = [
        {
            "config_name": "union",
            "default": True,
            "data_files": [{"split": name, "path": f"{FOLDER}*/{name}-*.parquet"} for name in names],
        }
    ]
    for source, found in used.items():
        files = [{"split": name, "path": f"{FOLDER}{source}/{name}-*.parquet"} for name in found]
        configs.append({"config_name": source, "data_files": files})
    configs.append({"config_name": "classes", "data_files": CLASSES})
    head = yaml.safe_dump({"tags": ["semantic-segmentation", "uncertainty", "unify"], "configs": configs})
    manifest, step = plan.parent.manifest, nats_per_step(plan.parent.manifest.classes)
    how = "\n".join(f"- {name}: {json.dumps(value)}" for name, value in sorted(plan.how.items()))
    nets = "\n".join(f"- `{digest}`" for digest in plan.parents)
    return f"""---
{head}---

# {plan.name} {version}

How unsure nets are of the images of {manifest.name} {manifest.version} (`{plan.parent.digest[:12]}`): one row an image,
joined to that version by `sample_id`. `uncertainty` is a 16-bit gray PNG: its value times {step!r} is U in nats,
0 to ln {manifest.classes}; a pixel weighs (1 + U)^2 (Almeida, Dutra and Renna, arXiv 2407.12609). `prediction` is what
the nets answered, as an 8-bit gray PNG of class ids. The config `classes` has sums by class.

How they were made:

{how}

Checkpoints:

{nets}

```python
import datasets

maps = datasets.load_dataset("PATH", split="{names[0] if names else "train"}")
```

Made with unify {__version__}
"""


# --- Reading ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Maps:
    """A version of maps: `place` has, of each sample, the file and the row in it."""

    artifact: Artifact
    nats_per_step: float
    place: Mapping[str, tuple[Path, int]]

    def weight_table(self) -> NDArray[np.float32]:
        """(65536,) float32: what a pixel of each stored value weighs."""
        return ((1 + np.arange(STEPS + 1) * self.nats_per_step) ** 2).astype(np.float32)


def open_maps(path: str | Path, root: str | Path = "out") -> Maps:
    """What `write_maps` wrote, by folder or name.

    Raises `UnifyError`: what `unify.artifact.locate` raises; usage (2) for a version of something else.
    """
    artifact = locate(path, root)
    steps = artifact.manifest.recipe.get("steps") or [{}]
    if steps[-1].get("operation") != _OPERATION:
        fix = "give what `unify uncertainty` wrote"
        raise error("usage", artifact.path, "holds no maps of uncertainty", fix)
    place = {}
    for name in artifact.manifest.files:
        if name.startswith(FOLDER):
            file = artifact.path / name
            for i, sample_id in enumerate(_ids_in(file)):
                place[sample_id] = (file, i)
    return Maps(artifact, nats_per_step(artifact.manifest.classes), place)


def _ids_in(file: Path) -> list[str]:
    try:
        ids: list[str] = pq.read_table(file, columns=["sample_id"], partitioning=None)["sample_id"].to_pylist()
        return ids
    except (OSError, KeyError, pa.ArrowException) as e:
        raise error("bad-artifact", file, f"cannot be read: {e}", "run `unify verify`, then make it again") from e

"""A version without its images: the form in which a conversion can be shared where images may not be.

The shards are written again without the column `image`; all else stays, so that whoever has the raw data can join the
two by `sample_id` or, through inputs.parquet, by the BLAKE3 of each raw file. It is no version that unify opens, since
its commands count on the images: instead of a manifest it has `labels.json`, with the digest of the version it is of.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from unify import storage
from unify.artifact import Artifact
from unify.errors import error
from unify.parquet import ARROW_OPTIONS

FILE = "labels.json"
FORMAT = 1  #: of it
COLUMN = "image"  #: what is left out


def write_labels(
    artifact: Artifact, folder: Path, progress: Callable[[int, int], None] = lambda files, n_bytes: None
) -> dict[str, Path]:
    """Write `artifact` without its images into `folder`: POSIX path → file of all that belongs to it.

    A row group at a time. Raises `UnifyError`: not-verified if a shard is not what was published; io.
    """
    found: dict[str, Path] = {}
    digests = {}
    for name, file in artifact.manifest.files.items():
        target = folder / name
        storage.make_dirs(target.parent)
        if name.startswith("data/"):
            shard = artifact.path / name
            if storage.hash_file(shard) != (file.size, file.blake3):
                what = "holds other bytes than were published"
                raise error("not-verified", shard, what, "run `unify verify`, then build it again")
            size, digest = _without_images(shard, target)
        else:
            data = artifact.read(name)
            size, digest = storage.write_file(target, _card(data) if name == "README.md" else data)
        found[name] = target
        digests[name] = {"size": size, "blake3": digest}
        progress(1, size)
    manifest = artifact.manifest
    facts = {
        "format": FORMAT,
        "name": manifest.name,
        "version": manifest.version,
        "parent": artifact.digest,
        "without": [COLUMN],
        "files": digests,
    }
    storage.write_file(folder / FILE, (json.dumps(facts, indent=1) + "\n").encode())
    return {**found, FILE: folder / FILE}


def _without_images(shard: Path, target: Path) -> tuple[int, str]:
    with pq.ParquetFile(shard, page_checksum_verification=True) as file:
        schema = file.schema_arrow
        kept = [name for name in schema.names if name != COLUMN]
        metadata = json.loads(schema.metadata[b"huggingface"])
        metadata["info"]["features"].pop(COLUMN)
        new = pa.schema([schema.field(name) for name in kept], metadata={"huggingface": json.dumps(metadata)})
        with storage.new_file(target) as sink:
            with pq.ParquetWriter(pa.PythonFile(sink, mode="w"), new, **ARROW_OPTIONS) as writer:
                for number in range(file.num_row_groups):
                    table = file.read_row_group(number, columns=kept, use_threads=False)
                    writer.write_table(pa.Table.from_arrays(table.columns, schema=new), row_group_size=len(table))
            return sink.commit()


def _card(data: bytes) -> bytes:
    """The dataset card for what is left."""
    _, head, body = data.decode().split("---\n", 2)
    facts = yaml.safe_load(head)
    for info in facts.get("dataset_info", ()):
        info["features"] = [feature for feature in info.get("features", ()) if feature["name"] != COLUMN]
    facts["tags"] = [*facts.get("tags", ()), "labels-only"]
    title, _, rest = body.lstrip("\n").partition("\n")
    rows = [line for line in rest.splitlines() if not line.startswith(f"| `{COLUMN}` |")]
    note = (
        "**Labels only**: the images are left out. Join them by `sample_id`, or by the BLAKE3 of the raw files in "
        "`inputs.parquet`; `labels.json` has the digest of the version that this was made from."
    )
    text = yaml.dump(facts, sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{text}---\n\n{title} (labels only)\n\n{note}\n{chr(10).join(rows)}\n".encode()

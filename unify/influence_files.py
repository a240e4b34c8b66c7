"""A version of influences on disk, and back.

influence.json     class -> other class -> influence, the greatest first: for `unify erase --influence`
pairs.parquet      a row a pair with all its numbers                    load_dataset(DIR, "pairs")
classes.parquet    a row a class: vulnerability, most influential       load_dataset(DIR, "classes")
sums.parquet       the sums that all of it follows from, by fold (`influence.Influences`)
matrix.png         a heat map; graph.graphml: the strongest influences as a directed graph
table.md           the classes by vulnerability, with what influences them most
taxonomy.json      the label space and mappings, where they are known
README.md          the card; manifest.json: written last, digests and lineage
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from unify import __version__, storage
from unify.artifact import Artifact, open_artifact
from unify.describe import to_parquet
from unify.errors import error
from unify.influence import TOP, Influences, to_graph
from unify.manifest import FILE, File, Manifest
from unify.taxonomy import Taxonomy

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1  #: of the version's recipe
JSON = "influence.json"
TABLES = ("pairs", "classes", "sums")
_NAME = "influence"


def write_influences(influences: Influences, folder: Path, taxonomy: Taxonomy | None = None) -> tuple[Artifact, bool]:
    """The version in `folder`, and whether it is new: the same influences are not written twice.

    Raises `UnifyError`: cannot-create if the folder holds anything else; io.
    """
    if (folder / FILE).is_file():
        there = open_artifact(folder)
        if there.manifest.plan == influences.digest:
            return there, False
        what = f"holds {there.manifest.name} {there.manifest.version} ({there.digest[:12]}) already"
        raise error("cannot-create", folder, what, "choose another folder: versions are never changed")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise error("cannot-create", folder, "is not empty", "choose an empty folder")
    files = describe(influences, taxonomy)
    place = folder.resolve()
    storage.make_dirs(place.parent)
    tree = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    try:
        storage.make_dirs(tree)
        written = {name: File(*storage.write_file(tree / name, data)) for name, data in sorted(files.items())}
        storage.write_file(tree / FILE, _manifest(influences, taxonomy, written).to_json())
        storage.publish(tree, place)
    finally:
        storage.remove_tree(tree)
    return open_artifact(folder), True


def open_influences(folder: Path) -> Influences:
    """What `write_influences` wrote. Raises `UnifyError`: not-found, bad-artifact, not-verified, newer-format."""
    artifact = open_artifact(folder)
    recipe = artifact.manifest.recipe
    if artifact.manifest.name != _NAME or JSON not in artifact.manifest.files:
        raise error("not-found", folder, "is a version, but not of influences", "give what `unify influence -o` wrote")
    try:
        if recipe["format"] > FORMAT:
            raise error("newer-format", folder, f"its format is {recipe['format']}", "update unify to read it")
        classes = tuple(recipe["classes"])
        sums = Influences.sums_from(artifact.table("sums.parquet"), recipe["by"], len(classes), recipe["folds"])
        facts = (recipe["settings"], recipe["made_from"], recipe["over"])
        return Influences(recipe["by"], classes, sums, *facts)
    except (KeyError, IndexError, TypeError, ValueError, OSError) as e:  # Arrow's are of the last two
        raise error("bad-artifact", folder, f"holds no influences ({e!r})", "verify it, or measure again") from e


def describe(influences: Influences, taxonomy: Taxonomy | None = None) -> dict[str, bytes]:
    """Name -> bytes of every file but the manifest. The same influences give the same bytes."""
    from unify.report.draw import encode
    from unify.report.influence_map import draw_matrix

    files = {f"{name}.parquet": to_parquet(table) for name, table in tables(influences).items()}
    files[JSON] = _json(influences.ranked())
    files["matrix.png"] = encode(draw_matrix(influences), ".png")
    files["graph.graphml"] = graphml(influences)
    files["table.md"] = (markdown(influences) + "\n").encode()
    if taxonomy is not None:
        files["taxonomy.json"] = _json(taxonomy.to_json())
    files["README.md"] = _card(influences).encode()
    return files


def tables(influences: Influences) -> dict[str, pa.Table]:
    """By the names of `TABLES`."""
    import pyarrow as pa

    text, number, count = pa.string(), pa.float64(), pa.int64()
    pair_types = {"class": text, "other": text, "rank": count, "influence": number, "standard_error": number}
    pair_types |= {"images": count, "iou": number, "iou_erased": number}
    class_types = {"class": text, "id": count, "vulnerability": number, "top": pa.list_(text)}
    names, errors, images = influences.classes, influences.standard_error(), influences.images()
    place = {name: i for i, name in enumerate(names)}
    ious = influences.iou() if influences.by == "erase" else (np.full(errors.shape, np.nan),) * 2
    pairs: list[dict[str, Any]] = []
    for name, others in influences.ranked().items():
        c = place[name]
        for rank, (other, value) in enumerate(others.items(), 1):
            j = place[other]
            row = {"class": name, "other": other, "rank": rank, "influence": value, "images": int(images[j, c])}
            measured = {"standard_error": errors[j, c], "iou": ious[0][j, c], "iou_erased": ious[1][j, c]}
            pairs.append(row | {key: float(v) if np.isfinite(v) else None for key, v in measured.items()})
    top = influences.top()
    classes = [
        {"class": name, "id": place[name], "vulnerability": value, "top": list(top[name])}
        for name, value in influences.vulnerability().items()
    ]
    return {
        "pairs": pa.Table.from_pylist(pairs, pa.schema(list(pair_types.items()))),
        "classes": pa.Table.from_pylist(classes, pa.schema(list(class_types.items()))),
        "sums": influences.to_table(),
    }


def graphml(influences: Influences) -> bytes:
    import networkx as nx

    out = io.BytesIO()
    nx.write_graphml_xml(to_graph(influences), out)  # the writer of the standard library: lxml may not be there
    return out.getvalue()


def markdown(influences: Influences, most: int = TOP) -> str:
    """The classes by vulnerability; of erasing, in percentage points of IoU, "-" for those with nothing to lose."""
    lost = influences.never_found()
    ranked, scale = influences.ranked(), 100 if influences.by == "erase" else 1
    digits = 1 if influences.by == "erase" else 3
    rows = [("class", "vulnerability", *(f"{i}." for i in range(1, most + 1))), ("---",) * (2 + most)]
    for name, value in influences.vulnerability(most).items():
        others = [f"{other} {scale * v:.{digits}f}" for other, v in list(ranked[name].items())[:most]]
        if name in lost:
            rows.append((name, "-", *[""] * most))
        else:
            rows.append((name, f"{scale * value:.{digits}f}", *others, *[""] * (most - len(others))))
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _manifest(influences: Influences, taxonomy: Taxonomy | None, files: Mapping[str, File]) -> Manifest:
    import networkx as nx
    import pyarrow as pa

    made_from = dict(sorted(influences.made_from.items()))
    folds = len(next(iter(influences.sums.values())))
    recipe: dict[str, Any] = {"format": FORMAT, "by": influences.by, "over": influences.over, "folds": folds}
    recipe |= {"settings": dict(influences.settings), "made_from": made_from, "classes": list(influences.classes)}
    return Manifest(
        name=_NAME,
        version="1.0.0",
        plan=influences.digest,
        recipe=recipe,
        space=taxonomy.space.name if taxonomy else f"{len(influences.classes)} classes",
        classes=len(influences.classes),
        columns=tuple(tables(influences)["pairs"].column_names),
        sources={},
        images=0,
        rejects=0,
        parents=tuple(made_from.values()),
        made_with={"unify": __version__, "pyarrow": pa.__version__, "networkx": nx.__version__},
        files=dict(files),
    )


def _card(influences: Influences) -> str:
    configs: list[dict[str, Any]] = [{"config_name": name, "data_files": f"{name}.parquet"} for name in TABLES]
    configs[0]["default"] = True
    head = yaml.safe_dump({"tags": ["semantic-segmentation", "co-location-bias", "unify"], "configs": configs})
    settings = ", ".join(f"{name} {value}" for name, value in influences.settings.items())
    made_from = "\n".join(f"- {what}: `{digest}`" for what, digest in sorted(influences.made_from.items()))
    unit = "percentage points of IoU" if influences.by == "erase" else "its own unit"
    note = "\n\n-: no pixel of the class is answered rightly, so it has nothing to lose."
    way = f"{influences.by} ({settings})" if settings else influences.by
    return f"""---
{head}---

# Influences between classes

How much the answers of a net for a class depend on another class, by {way},
in {unit}. Vulnerability is the mean of the {TOP} greatest influences on a class. A reconstruction of what
DropClass (Chu, Kim and Han, NeurIPS 2021) selects classes by; its definition is not published.

![The matrix](matrix.png)

{markdown(influences)}{note if influences.never_found() else ""}

```python
import datasets

pairs = datasets.load_dataset("PATH", "pairs")["train"]  # also "classes", "sums"
```

```sh
unify erase DATA --influence PATH/influence.json --top {TOP} --labels void
```

Made with unify {__version__} from

{made_from or "- nothing with a digest"}
"""

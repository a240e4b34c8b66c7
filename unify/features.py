"""The columns of a version: one definition for the Arrow schema, the Hugging Face metadata in it,
and the `dataset_info` of the dataset card, which would silently win over the other two if it differed.

Written by hand rather than taken from `datasets.Features`, whose import costs a second and whose
YAML form is private; a test holds all three equal to what `datasets` makes of the same columns.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

#: column -> what it holds. "image" is encoded bytes, "name" a class label, "names" a list of them.
COLUMNS = {
    "image": "image",  # the source's own bytes, untouched
    "label": "image",  # 8-bit gray PNG of target ids, void 255
    "source": "source",  # which dataset: selects the null mask
    "sample_id": "string",  # "<source>/<split>/<id within the split>"
    "height": "int32",
    "width": "int32",
    "classes": "classes",  # classes present, in id order
    "pixel_count": "int64s",  # pixels per code; void last
}
#: Sides of the cells of pooled labels that a version can store, pixels (`unify.cpp`).
CPP_SCALES = (2, 4, 8, 16, 32)
#: Optional columns, by the option that adds them.
OPTIONAL = {
    "centroids": {  # of each tile and class in it: which class, and the mean position of its pixels
        "centroid_class": "classes",
        "centroid_y": "int32s",
        "centroid_x": "int32s",
    },
    # gray PNG: pixels of each code present in each cell of s x s, a map below the other; null where all is void
    **{f"cpp-{scale}": {f"cpp_{scale}": "image"} for scale in CPP_SCALES},
    "erased": {"erased": "image"},  # 8-bit gray PNG: 255 where the image was filled in, else 0
    "instances": {  # both null where the source does not tell things apart
        "instance": "image",  # 16-bit gray PNG, raw id * divisor + number
        "instance_count": "int64s",  # distinct instances per code; void last
    },
    "native": {"label_source": "image"},  # 8-bit gray PNG of the source's own ids
}


def columns(options: Sequence[str]) -> dict[str, str]:
    """The columns of a version built with `options`, in order."""
    chosen = dict(COLUMNS)
    for option in options:
        chosen |= OPTIONAL[option]
    return chosen


def optional_columns(options: Sequence[str]) -> dict[str, str]:
    """The columns that `options` add, and what each holds."""
    return {name: kind for option in options for name, kind in OPTIONAL[option].items()}


def _feature(kind: str, sources: Sequence[str], classes: Sequence[str]) -> dict[str, Any]:
    if kind == "image":
        return {"_type": "Image"}
    if kind == "source":
        return {"names": list(sources), "_type": "ClassLabel"}
    if kind == "classes":
        return {"feature": {"names": list(classes), "_type": "ClassLabel"}, "_type": "List"}
    if kind in ("int32s", "int64s"):
        return {"feature": {"dtype": kind.removesuffix("s"), "_type": "Value"}, "_type": "List"}
    return {"dtype": kind, "_type": "Value"}


def _class_label(names: Sequence[str]) -> dict[str, Any]:
    return {"class_label": {"names": {str(i): name for i, name in enumerate(names)}}}


def card_features(options: Sequence[str], sources: Sequence[str], classes: Sequence[str]) -> list[dict[str, Any]]:
    """The `dataset_info.features` list of a dataset card."""
    forms: dict[str, dict[str, Any]] = {
        "source": {"dtype": _class_label(sources)},
        "classes": {"list": _class_label(classes)},
        "int32s": {"list": "int32"},
        "int64s": {"list": "int64"},
    }
    return [{"name": name, **forms.get(kind, {"dtype": kind})} for name, kind in columns(options).items()]


def arrow_schema(options: Sequence[str], sources: Sequence[str], classes: Sequence[str]) -> pa.Schema:
    """The Arrow schema, with the features that `datasets` reads from its metadata."""
    import pyarrow as pa

    encoded = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    types = {
        "image": encoded,
        "source": pa.int64(),
        "string": pa.string(),
        "int32": pa.int32(),
        "classes": pa.list_(pa.int64()),
        "int32s": pa.list_(pa.int32()),
        "int64s": pa.list_(pa.int64()),
    }
    chosen = columns(options)
    features = {name: _feature(kind, sources, classes) for name, kind in chosen.items()}
    return pa.schema(
        [pa.field(name, types[kind]) for name, kind in chosen.items()],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )

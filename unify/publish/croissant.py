"""Croissant metadata of a version: JSON-LD that dataset search engines, `mlcroissant` and its loaders read.

Croissant 1.0 (https://docs.mlcommons.org/croissant/docs/croissant-spec-1.0.html). The shards are FileSets, which the
specification wants no checksum of; the small files beside them are FileObjects with the SHA-256 that it asks for.
So nothing large is hashed a second time: manifest.json, one of the FileObjects, has the BLAKE3 of every shard.

A label image whose pixels are class ids is an `sc:ImageObject`; `cr:SegmentationMask` means a mask of one thing.
Split and source of a row stand in the row, not in `references` to other record sets: those make mlcroissant join, and
load the whole data set into memory where it would stream.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from unify.artifact import Artifact
from unify.errors import error
from unify.features import CPP_SCALES, columns
from unify.manifest import FILE
from unify.publish.licences import licence_of
from unify.sources import SOURCES, Source

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
PARQUET, JSON = "application/x-parquet", "application/json"
#: The part of the official @context that is used, as the specification's appendix has it.
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}

#: The shards of a source and split, as `plan.Shard.path` names them; the group is the split. Only ".*" and "\\.", since
#: mlcroissant makes a glob of it for `records(..., filters=)`.
SPLIT_REGEX = r".*data/.*/(.*)-.*-of-.*\.parquet$"
_REPOSITORY = "repository"
_TYPES = {
    "image": "sc:ImageObject",
    "source": "sc:Integer",
    "string": "sc:Text",
    "int32": "sc:Integer",
    "classes": "sc:Integer",
    "int32s": "sc:Integer",
    "int64s": "sc:Integer",
}
_LISTS = ("classes", "int32s", "int64s")
_TEXTS = {
    "image": "The photograph: the source's own file.",
    "label": "8-bit gray PNG of the same size; a pixel is the id of a class (record set `classes`), {void} is void.",
    "label_source": "8-bit gray PNG; a pixel is the source's own id.",
    "centroid_class": "Of each tile, row by row, the ids of the classes in it.",
    "centroid_y": "The mean row of the pixels of each class of `centroid_class` in its tile.",
    "centroid_x": "And their mean column.",
    **{
        f"cpp_{s}": f"Gray PNG: pixels of each code of the label in each cell of {s}x{s} pixels, codes in the order of "
        "`pixel_count`, a map below the other; null where all is void."
        for s in CPP_SCALES
    },
    "instance": "16-bit gray PNG, the source's own id of the class * a divisor + number; null without such files.",
    "instance_count": "Instances of each class, as `pixel_count`; null without `instance`.",
    "erased": "8-bit gray PNG; 255 where the image was filled in, 0 elsewhere.",
    "source": "Which dataset the row is from: an id of the record set `sources`.",
    "sample_id": "<source>/<split>/<id in the split>; unique.",
    "height": "Height in pixels.",
    "width": "Width in pixels.",
    "classes": "Ids of the classes in the label.",
    "pixel_count": "Pixels of each class, in id order; void last.",
}


def croissant(
    artifact: Artifact,
    *,
    published: str,
    url: str | None = None,
    prefix: str = "",
    without: Iterable[str] = (),
    files: Mapping[str, bytes] | None = None,
    sources: Mapping[str, Source] = SOURCES,
) -> dict[str, Any]:
    """The Croissant description of a version, in plain types for `json.dumps`.

    Args:
        published: date, YYYY-MM-DD.
        url: of the repository it can be had from, cloned with git. Without, its files are looked for next to the
            description.
        prefix: of file paths, "" or ending in "/": where the version lies as seen from the description. With `url`
            it has no meaning.
        without: columns that are left out, as in a version shared without its images.
        files: POSIX path → bytes of the small files (not shards), where they are not those of the version.
        sources: what is known of the sources.
    """
    manifest, taxonomy = artifact.manifest, artifact.taxonomy
    assert not (url and prefix), "a prefix is of local files"
    small = {name: artifact.read(name) for name in manifest.files if not name.startswith("data/")}
    small = {**small, FILE: manifest.to_json()} if files is None else dict(files)
    container: dict[str, Any] = {"containedIn": {"@id": _REPOSITORY}} if url else {}
    kinds = {name: kind for name, kind in columns(manifest.recipe["options"]).items() if name not in set(without)}
    known = [(name, sources.get(name), facts) for name, facts in manifest.sources.items()]
    with_rows = [name for name, facts in manifest.sources.items() if facts["splits"]]
    configs = {"union": "*", **{name: name for name in with_rows if len(with_rows) > 1}}
    distribution: list[dict[str, Any]] = []
    if url:
        distribution.append(
            {
                "@type": "cr:FileObject",
                "@id": _REPOSITORY,
                "name": _REPOSITORY,
                "description": "The git repository of this version.",
                "contentUrl": url,
                "encodingFormat": "git+https",
                # a repository has no checksum, and validators want one: github.com/mlcommons/croissant/issues/80
                "sha256": "https://github.com/mlcommons/croissant/issues/80",
            }
        )
    distribution += [
        {
            "@type": "cr:FileSet",
            "@id": f"{config}-shards",
            "name": f"{config}-shards",
            "description": f"Parquet files with {_whose(config)} rows.",
            **container,
            "encodingFormat": PARQUET,
            "includes": f"{prefix}data/{folder}/*.parquet",
        }
        for config, folder in configs.items()
    ]
    distribution += [
        {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            **container,
            "contentUrl": f"{prefix}{name}",
            "contentSize": f"{len(data)} B",
            "encodingFormat": _format(name),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        for name, data in sorted(small.items())
    ]
    return {
        "@context": copy.deepcopy(CONTEXT),  # readers write into it
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": manifest.name,
        "description": _description(artifact, [source.title if source else name for name, source, _ in known]),
        "version": manifest.version,
        "datePublished": published,
        **({"url": url} if url else {}),
        "license": _licences(manifest.sources),
        "creator": [_creator(name, source) for name, source, _ in known],
        "citeAs": " ".join(source.citation for _, source, _ in known if source) or "Cite the sources.",
        "keywords": ["semantic segmentation", "label maps", manifest.space, *manifest.sources],
        "isLiveDataset": False,
        "distribution": distribution,
        "recordSet": [
            *(_rows(config, kinds, taxonomy.space.void) for config in configs),
            _classes(artifact),
            _sources(artifact, sources),
            *([_stats()] if "stats.parquet" in small else []),
        ],
    }


def _whose(config: str) -> str:
    return "all sources'" if config == "union" else f"the source {config}'s"


def _description(artifact: Artifact, titles: list[str]) -> str:
    manifest = artifact.manifest
    generated = [name for name, facts in manifest.sources.items() if facts["generated"]]
    text = (
        f"{manifest.images:,} images of {', '.join(titles)} with semantic segmentation labels in one label space, "
        f"{manifest.space}: {manifest.classes} classes. Which classes each source annotates at all is in taxonomy.json."
    )
    if generated:
        text += f" Generated images, not the real dataset: {', '.join(generated)}."
    return text


def _format(name: str) -> str:
    formats = {"parquet": PARQUET, "json": JSON, "md": "text/markdown"}
    suffix = name.rpartition(".")[2]
    if suffix not in formats:
        raise error("bad-artifact", name, "is a file of no known format", "build the version again")
    return formats[suffix]


def _licences(sources: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """An address or, without one, the name of the terms of each source; generated data is under none."""
    real = [licence_of(name) for name, facts in sources.items() if not facts["generated"]]
    found = list(dict.fromkeys(licence.url or licence.name for licence in real))
    return found or ["https://creativecommons.org/publicdomain/zero/1.0/"]


def _creator(name: str, source: Source | None) -> dict[str, str]:
    facts = {"@type": "sc:Organization", "name": source.title if source else name}
    return {**facts, "url": source.homepage} if source and source.homepage else facts


def _rows(config: str, kinds: Mapping[str, str], void: int) -> dict[str, Any]:
    """The record set of a config: a record is an image with its label."""
    file_set = {"@id": f"{config}-shards"}
    fields: list[dict[str, Any]] = [
        {
            "@type": "cr:Field",
            "@id": f"{config}/split",
            "name": "split",
            "description": "Split, from the file's name.",
            "dataType": "sc:Text",
            "source": {
                "fileSet": file_set,
                "extract": {"fileProperty": "fullpath"},
                "transform": {"regex": SPLIT_REGEX},
            },
        }
    ]
    for column, kind in kinds.items():
        source: dict[str, Any] = {"fileSet": file_set, "extract": {"column": column}}
        if kind == "image":
            source["transform"] = {"jsonPath": "bytes"}
        fields.append(
            {
                "@type": "cr:Field",
                "@id": f"{config}/{column}",
                "name": column,
                "description": _TEXTS[column].format(void=void),
                "dataType": _TYPES[kind],
                **({"repeated": True} if kind in _LISTS else {}),
                "source": source,
            }
        )
    return {
        "@type": "cr:RecordSet",
        "@id": config,
        "name": config,
        "description": f"{_whose(config).capitalize()} images with their labels.",
        "key": {"@id": f"{config}/sample_id"},
        "field": fields,
    }


def _inline(name: str, description: str, types: Mapping[str, str], data: list[dict[str, Any]]) -> dict[str, Any]:
    """A record set whose records stand in the description itself; its first field is its key."""
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        "dataType": "cr:Enumeration",
        "key": {"@id": f"{name}/{next(iter(types))}"},
        "field": [
            {"@type": "cr:Field", "@id": f"{name}/{field}", "name": field, "dataType": data_type}
            for field, data_type in types.items()
        ],
        "data": [{f"{name}/{field}": value for field, value in row.items()} for row in data],
    }


def _classes(artifact: Artifact) -> dict[str, Any]:
    space = artifact.taxonomy.space
    rows = [{"id": c.id, "name": c.name, "color": "#{:02x}{:02x}{:02x}".format(*c.color)} for c in space.classes]
    types = {"id": "sc:Integer", "name": "sc:Text", "color": "sc:Text"}
    return _inline("classes", f"Classes of {space.name}: what a label's pixel means.", types, rows)


def _sources(artifact: Artifact, sources: Mapping[str, Source]) -> dict[str, Any]:
    rows = []
    for i, (name, facts) in enumerate(artifact.manifest.sources.items()):
        source, generated = sources.get(name), facts["generated"]
        rows.append(
            {
                "id": i,
                "name": name,
                "title": source.title if source else name,
                "release": facts["release"],
                "licence": "generated, free to share" if generated else licence_of(name).name,
            }
        )
    types = {"id": "sc:Integer", **dict.fromkeys(("name", "title", "release", "licence"), "sc:Text")}
    return _inline("sources", "Where a row is from.", types, rows)


def _stats() -> dict[str, Any]:
    kinds = {"source": "Text", "split": "Text", "class_id": "Integer", "class": "Text", "pixels": "Integer"}
    return {
        "@type": "cr:RecordSet",
        "@id": "stats",
        "name": "stats",
        "description": "Pixels and images of each class, by source and split.",
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"stats/{column}",
                "name": column,
                "dataType": f"sc:{kind}",
                "source": {"fileObject": {"@id": "stats.parquet"}, "extract": {"column": column}},
            }
            for column, kind in {**kinds, "images": "Integer"}.items()
        ],
    }


def day_built(artifact: Artifact) -> str:
    """The day the version was written, YYYY-MM-DD (UTC): the time stamp of its manifest, which is never rewritten."""
    try:
        seconds = (artifact.path / FILE).stat().st_mtime
    except OSError as e:
        raise error("bad-artifact", artifact.path / FILE, f"cannot be read: {e.strerror}", "check the folder") from e
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def prefix_from(file: Path, artifact: Artifact) -> str:
    """Where the version lies as seen from the folder of `file`: "1.0.0/".

    Raises `UnifyError` (usage) if that folder is not above the version, which readers of Croissant cannot express.
    """
    folder, version = file.absolute().parent.resolve(), artifact.path.resolve()
    if folder == version or not version.is_relative_to(folder):
        what = "lies in the version, which is never changed" if folder.is_relative_to(version) else "is not above it"
        fix = f"write {artifact.path.parent / 'croissant.json'}, or give the --url that it is published at"
        raise error("usage", file, what, fix)
    return version.relative_to(folder).as_posix() + "/"

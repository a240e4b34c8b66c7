"""A version of relations on disk, and back.

relations.json     canonical: rule, settings, classes, edges, what it was made from
edges.parquet      a row an edge                                            load_dataset(DIR, "edges")
nodes.parquet      a row a class: who annotates it, pixels                  load_dataset(DIR, "nodes")
evidence.parquet   a row a pair that could be an edge, with all numbers     load_dataset(DIR, "evidence")
sums.parquet       the sums that all of it follows from, by fold (`relations.Evidence`)
graph.graphml      the graph of target edges; graph.png: a picture of it
table.md           the two-column table of UniSeg's Table A-1
taxonomy.json      the label space and mappings, where they are known
README.md          the card; manifest.json: written last, digests and lineage
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import yaml
from blake3 import blake3

from unify import __version__, storage
from unify.artifact import Artifact, open_artifact
from unify.describe import to_parquet
from unify.errors import error
from unify.manifest import FILE, File, Manifest
from unify.relations.evidence import Evidence
from unify.relations.rules import Edge, Estimate, Relations, to_graph, two_columns
from unify.taxonomy import Taxonomy

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1  #: of relations.json
JSON = "relations.json"
TABLES = ("edges", "nodes", "evidence", "sums")
_ESTIMATE = tuple(f.name for f in dataclasses.fields(Estimate))


def write_relations(relations: Relations, folder: Path) -> tuple[Artifact, bool]:
    """The version in `folder`, and whether it is new: relations of the same evidence, rule and settings are not
    written twice.

    Raises `UnifyError`: cannot-create if the folder holds anything else; io.
    """
    digest = _digest(relations)
    if (folder / FILE).is_file():
        there = open_artifact(folder)
        if there.manifest.plan == digest:
            return there, False
        what = f"holds {there.manifest.name} {there.manifest.version} ({there.digest[:12]}) already"
        raise error("cannot-create", folder, what, "choose another folder: versions are never changed")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise error("cannot-create", folder, "is not empty", "choose an empty folder")
    files = describe(relations)
    storage.make_dirs(folder.resolve().parent)
    tree = folder.resolve().with_name(f".{folder.resolve().name}.{os.getpid()}.tmp")
    try:
        storage.make_dirs(tree)
        written = {name: File(*storage.write_file(tree / name, data)) for name, data in sorted(files.items())}
        storage.write_file(tree / FILE, _manifest(relations, digest, written).to_json())
        storage.publish(tree, folder.resolve())
    finally:
        storage.remove_tree(tree)
    return open_artifact(folder), True


def open_relations(folder: Path) -> Relations:
    """What `write_relations` wrote. Raises `UnifyError`: not-found, bad-artifact, not-verified, newer-format."""
    artifact = open_artifact(folder)
    if JSON not in artifact.manifest.files:
        raise error("not-found", folder, "is a version, but not of relations", "give what `unify relations -o` wrote")
    path = str(folder / JSON)
    try:
        data = json.loads(artifact.read(JSON))
        if data["format"] > FORMAT:
            raise error("newer-format", path, f"its format is {data['format']}", "update unify to read it")
        evidence = Evidence.from_table(artifact.table("sums.parquet"), str(folder / "sums.parquet"))
        rows = artifact.table("evidence.parquet").to_pylist() if data["rule"] != "paper" else []
        has_taxonomy = "taxonomy.json" in artifact.manifest.files
        return Relations(
            data["rule"],
            data["settings"],
            evidence,
            tuple(Edge(**edge) for edge in data["edges"]),
            tuple(Estimate(**{name: row[name] for name in _ESTIMATE}) for row in rows),
            Taxonomy.from_json(json.loads(artifact.read("taxonomy.json"))) if has_taxonomy else None,
        )
    except (KeyError, TypeError, ValueError, OSError) as e:  # Arrow's are of the last two
        raise error("bad-artifact", path, f"holds no relations ({e!r})", "verify it, or learn them again") from e


def describe(relations: Relations) -> dict[str, bytes]:
    """Name → bytes of every file but the manifest. The same relations give the same bytes."""
    from unify.report.draw import encode
    from unify.report.relation_graph import draw_graph

    files = {f"{name}.parquet": to_parquet(table) for name, table in tables(relations).items()}
    files[JSON] = (json.dumps(to_json(relations), indent=1, ensure_ascii=False) + "\n").encode()
    files["graph.graphml"] = graphml(relations)
    files["graph.png"] = encode(draw_graph(relations), ".png")
    files["table.md"] = (markdown(relations) + "\n").encode()
    if relations.taxonomy is not None:
        text = json.dumps(relations.taxonomy.to_json(), indent=1, ensure_ascii=False)
        files["taxonomy.json"] = (text + "\n").encode()
    files["README.md"] = _card(relations).encode()
    return files


def to_json(relations: Relations) -> dict[str, Any]:
    """The canonical form: everything but the sums."""
    evidence = relations.evidence
    return {
        "format": FORMAT,
        "rule": relations.rule,
        "settings": dict(relations.settings),
        "classes": list(evidence.classes),
        "annotates": {
            source: [name for name, here in zip(evidence.classes, row, strict=True) if here]
            for source, row in zip(evidence.sources, evidence.annotated.tolist(), strict=True)
        },
        "made_from": dict(sorted(evidence.made_from.items())),
        "edges": [dataclasses.asdict(e) for e in relations.edges],
    }


def tables(relations: Relations) -> dict[str, pa.Table]:
    """By the names of `TABLES`."""
    import pyarrow as pa

    text, number, count = pa.string(), pa.float64(), pa.int64()
    types = {"source": text, "label": text, "related": text, "type": text, "is_target": pa.bool_()}
    types |= {"score": number, "own_score": number, "pixels": count}
    types |= dict.fromkeys(("share", "low", "high", "back"), number)
    edges = [{**dataclasses.asdict(e), "is_target": e.is_target} for e in relations.edges]
    node_types = {"name": text, "id": count, "sources": pa.list_(text), "pixels": count}
    seen_types = {"source": text, "label": text, "other": text, "related": text, "type": text, "pixels": count}
    seen_types |= {"images": count, "cosine": number, "own_cosine": number}
    seen_types |= dict.fromkeys(("told", "share", "low", "high", "back", "score"), number) | {"is_edge": pa.bool_()}
    return {
        "edges": pa.Table.from_pylist(edges, pa.schema(list(types.items()))),
        "nodes": pa.Table.from_pylist(list(_nodes(relations)), pa.schema(list(node_types.items()))),
        "evidence": pa.Table.from_pylist(list(_pairs(relations)), pa.schema(list(seen_types.items()))),
        "sums": relations.evidence.to_table(),
    }


def _nodes(relations: Relations) -> Iterator[dict[str, Any]]:
    pixels = relations.evidence.total("pixels").sum(axis=0)
    for i, name in enumerate(relations.evidence.classes):
        yield {"name": name, "id": i, "sources": relations.sources_of(name), "pixels": int(pixels[i])}


def _pairs(relations: Relations) -> Iterator[dict[str, Any]]:
    """Every label with pixels and every class: with each other source that annotates it, where there are estimates."""
    evidence, means = relations.evidence, relations.evidence.mean_scores()
    index, row_of = ({n: i for i, n in enumerate(names)} for names in (evidence.classes, evidence.sources))
    types = {(e.source, e.label, e.related): e.type for e in relations.edges}
    images, pixels = evidence.total("images"), evidence.total("pixels")

    def facts(source: str, label: str, related: str) -> dict[str, Any]:
        s, c, k = row_of[source], index[label], index[related]
        found: dict[str, Any] = {
            "source": source,
            "label": label,
            "related": related,
            "type": types.get((source, label, related)),
        }
        found |= {"pixels": int(pixels[s, c]), "images": int(images[s, c])}
        return found | {"cosine": float(means[s, c, k]), "own_cosine": float(means[s, c, c])}

    for e in relations.estimates:
        yield facts(e.source, e.label, e.related) | dataclasses.asdict(e)
    if not relations.estimates:
        for s, c in np.argwhere(pixels > 0).tolist():
            for related in evidence.classes:
                if related != evidence.classes[c]:
                    yield facts(evidence.sources[s], evidence.classes[c], related)


def graphml(relations: Relations) -> bytes:
    """The graph of the target edges, as GraphML."""
    import networkx as nx

    out = io.BytesIO()
    nx.write_graphml_xml(to_graph(relations), out)  # the writer of the standard library: lxml may not be there
    return out.getvalue()


def markdown(relations: Relations) -> str:
    """Table A-1: a label and what it is also, every pair once."""
    rows = [("Primary label", "Secondary label"), ("---", "---"), *two_columns(relations.edges)]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


def _digest(relations: Relations) -> str:
    """Of what decides the content: evidence, rule, settings."""
    taxonomy = relations.taxonomy.digest() if relations.taxonomy else None
    parts = [FORMAT, relations.rule, dict(relations.settings), relations.evidence.digest, taxonomy]
    return blake3(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _manifest(relations: Relations, digest: str, files: Mapping[str, File]) -> Manifest:
    import networkx as nx
    import pyarrow as pa

    evidence = relations.evidence
    made_from = dict(sorted(evidence.made_from.items()))
    space = relations.taxonomy.space.name if relations.taxonomy else f"{len(evidence.classes)} classes"
    return Manifest(
        name="relations",
        version="1.0.0",
        plan=digest,
        recipe={"rule": relations.rule, "settings": dict(relations.settings), "made_from": made_from},
        space=space,
        classes=len(evidence.classes),
        columns=tuple(tables(relations)["edges"].column_names),
        sources={name: {} for name in evidence.sources},
        images=0,
        rejects=0,
        parents=tuple(made_from.values()),
        made_with={"unify": __version__, "pyarrow": pa.__version__, "networkx": nx.__version__},
        files=dict(files),
    )


def _card(relations: Relations) -> str:
    configs = [{"config_name": name, "data_files": f"{name}.parquet"} for name in TABLES]
    configs[0]["default"] = cast(Any, True)
    head = yaml.safe_dump({"tags": ["semantic-segmentation", "class-relations", "unify"], "configs": configs})
    settings = ", ".join(f"{name} {value:g}" for name, value in relations.settings.items())
    made_from = "\n".join(f"- {what}: `{digest}`" for what, digest in sorted(relations.evidence.made_from.items()))
    return f"""---
{head}---

# Class relations

{len(relations.targets)} relations between {len(relations.evidence.classes)} classes of
{", ".join(relations.evidence.sources)}, by the {relations.rule} rule ({settings}). A relation (source, label,
related) says that pixels which the source labels `label` are also `related`.

![The graph](graph.png)

{markdown(relations)}

```python
import datasets

edges = datasets.load_dataset("PATH", "edges")["train"]  # also "nodes", "evidence", "sums"
```

Made with unify {__version__} from

{made_from or "- evidence without a digest"}
"""

"""What the evidence says of one pair of classes, in numbers and in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from unify.errors import Problem, UnifyError
from unify.relations.rules import Relations
from unify.spaces import did_you_mean

_VERDICTS = {
    "equal": "{a} and {b} are the same",
    "narrower": "{a} is part of {b}",
    "broader": "{a} contains {b}",
    "overlaps": "{a} and {b} overlap",
}


def facts(relations: Relations, a: str, b: str) -> dict[str, Any]:
    """{"label", "related", "forward": [...], "backward": [...]}: a row per source that labels the class.

    A row: source, label, related, pixels, images, cosine, own_cosine, rank (1: no other class scores higher on
    these pixels, the label itself apart), type (null: no edge), and `estimates` of the calibrated rule, by source.
    Raises `UnifyError` (usage) for classes that are not there.
    """
    known = relations.evidence.classes
    fix = "see nodes.parquet for all classes"
    problems = [
        Problem("usage", name, f"is no class here{did_you_mean(name, known)}", fix)
        for name in (a, b)
        if name not in known
    ]
    if problems:
        raise UnifyError(*problems)
    both = {"forward": list(_rows(relations, a, b)), "backward": list(_rows(relations, b, a))}
    return {"rule": relations.rule, "settings": dict(relations.settings), "label": a, "related": b, **both}


def _rows(relations: Relations, a: str, b: str) -> Iterator[dict[str, Any]]:
    evidence = relations.evidence
    c, k = evidence.classes.index(a), evidence.classes.index(b)
    means, pixels, images = evidence.mean_scores(), evidence.total("pixels"), evidence.total("images")
    types = {(e.source, e.label, e.related): e.type for e in relations.edges}
    for s, source in enumerate(evidence.sources):
        if not pixels[s, c]:
            continue
        rivals = np.delete(means[s, c], [c, k] if c != k else [c])
        yield {
            "source": source,
            "label": a,
            "related": b,
            "pixels": int(pixels[s, c]),
            "images": int(images[s, c]),
            "cosine": float(means[s, c, k]),
            "own_cosine": float(means[s, c, c]),
            "rank": int((rivals > means[s, c, k]).sum()) + 1,
            "type": types.get((source, a, b)),
            "estimates": [
                dataclasses.asdict(e) for e in relations.estimates if (e.source, e.label, e.related) == (source, a, b)
            ],
        }


def sentences(relations: Relations, a: str, b: str) -> Iterator[str]:
    """`facts` as lines for people."""
    found = facts(relations, a, b)
    for direction, (one, other) in (("forward", (a, b)), ("backward", (b, a))):
        yield f"{one} → {other}: are pixels of {one} also {other}?"
        if not found[direction]:
            yield f"  no source has pixels of {one}"
        for row in found[direction]:
            yield f"  {row['source']}: {_verdict(row)}"
            yield from (f"    {line}" for line in _row_lines(relations, row))
        if direction == "forward":
            yield ""


def _verdict(row: dict[str, Any]) -> str:
    kind = row["type"]
    return "no edge" if kind is None else f"{kind}: {_VERDICTS[kind].format(a=row['label'], b=row['related'])}"


def _row_lines(relations: Relations, row: dict[str, Any]) -> Iterator[str]:
    label, related = row["label"], row["related"]
    images = f" in {row['images']:,} images" if row["images"] else ""
    yield f"{row['pixels']:,} pixels of {label}{images}"
    cosine, own = row["cosine"], row["own_cosine"]
    relation = "above" if cosine > own else "not above"
    yield f"mean cosine with {related} {cosine:.3f} (rank {row['rank']}), {relation} its own {own:.3f}"
    if relations.rule == "paper":
        tau = relations.settings["tau"]
        yield f"the rule asks for more than {own:.3f} and more than tau {tau:g}: {'yes' if row['type'] else 'no'}"
    for e in row["estimates"]:
        span = "" if e["low"] is None else f" ({e['low']:.2f} to {e['high']:.2f})"
        yield (
            f"{e['other']} would call {e['share']:.2f}{span} of it {related} "
            f"(the net alone says {e['told']:.2f}), and {e['back']:.2f} of its own {related} is {label}: "
            f"score {e['score']:.2f}"
        )

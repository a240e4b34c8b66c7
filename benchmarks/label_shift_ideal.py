"""What the calibrated rule makes of nets that err never: how far evidence can go at best in the label-shift benchmark.

Two of them. One answers as each source's annotators would, whatever it is shown. The other knows of a source only
what that source's images show: of a concept that they never show it cannot tell what the annotators would say, and
answers void. No net that learns from these images can know more, so this is the end of what there is to learn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from unify.relations.evidence import UNIT, Evidence, Void
from unify.relations.score import Shares
from unify.taxonomy import Taxonomy


def faultless(evidence: Evidence, shares: Shares) -> Evidence:
    """Evidence of the same pixels from a net that answers as each source's annotators would, and likes a class as
    well as any other that is true: what the rule could reach at best."""
    classes = len(evidence.classes)
    answers = np.zeros((*evidence.scores.shape[:3], len(evidence.sources), classes))
    for s, source in enumerate(evidence.sources):
        for o, other in enumerate(evidence.sources):
            share = np.eye(classes) if s == o else np.nan_to_num(shares[source, other])
            share = share / np.maximum(share.sum(axis=1, keepdims=True), 1e-12)
            answers[:, s, :, o] = evidence.pixels[:, s, :, None] * share
    answers = np.rint(answers * UNIT).astype(np.int64)
    return dataclasses.replace(evidence, answers=answers, scores=np.zeros_like(evidence.scores))


def of_what_is_shown(evidence: Evidence, taxonomy: Taxonomy, truth: Mapping[str, Any]) -> Evidence:
    """The same, in one fold, from a net that knows of each source only the concepts in its training images, and takes
    others for what that source leaves void. `truth`: what truth.json of `unify sample` says."""
    sources, k = evidence.sources, len(evidence.classes)
    index = {name: i for i, name in enumerate(evidence.classes)}
    concepts = list(truth["concepts"])
    label_su = np.full((len(sources), len(concepts)), k)  # k is void
    pixels_su = np.zeros(label_su.shape, np.int64)
    for s, source in enumerate(sources):
        mapping = taxonomy.mappings[source]
        for u, concept in enumerate(concepts):
            names = mapping.rules[truth["concepts"][concept][mapping.source.name]]
            label_su[s, u] = index[names[0]] if len(names) == 1 else k
            pixels_su[s, u] = truth["pixels"][source]["train"].get(concept, 0)
    pixels = np.zeros((1, len(sources), k + 1), np.int64)
    answers = np.zeros((1, len(sources), k + 1, len(sources), k), np.int64)
    for s, u in np.argwhere(pixels_su > 0).tolist():
        pixels[0, s, label_su[s, u]] += pixels_su[s, u]
        for o in range(len(sources)):
            if label_su[o, u] < k and pixels_su[o, u]:
                answers[0, s, label_su[s, u], o, label_su[o, u]] += pixels_su[s, u] * UNIT
    none = np.zeros((1, len(sources), k, k), np.int64)
    void = Void(pixels[..., k], answers[:, :, k])
    known, told = pixels[..., :k], answers[:, :, :k]
    return Evidence(
        evidence.classes, sources, evidence.annotated, known, (known > 0).astype(np.int64), none, told, {}, void
    )

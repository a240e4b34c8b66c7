"""Columns, schema and card features against what `datasets` itself makes of the same columns."""

from __future__ import annotations

import json

import pytest
import yaml

from unify.card import _COLUMN_TEXT
from unify.features import OPTIONAL, arrow_schema, card_features, columns

SOURCES = ["cityscapes", "idd"]
CLASSES = ["road", "yes", "1", "lane marking - general", "traffic sign (back)"]


def reference(options):
    import datasets as d

    features = {
        "image": d.Image(),
        "label": d.Image(),
        "source": d.ClassLabel(names=SOURCES),
        "sample_id": d.Value("string"),
        "height": d.Value("int32"),
        "width": d.Value("int32"),
        "classes": d.List(d.ClassLabel(names=CLASSES)),
        "pixel_count": d.List(d.Value("int64")),
    }
    optional = {
        "centroids": {
            "centroid_class": d.List(d.ClassLabel(names=CLASSES)),
            "centroid_y": d.List(d.Value("int32")),
            "centroid_x": d.List(d.Value("int32")),
        },
        **{f"cpp-{scale}": {f"cpp_{scale}": d.Image()} for scale in (2, 4, 8, 16, 32)},
        "erased": {"erased": d.Image()},
        "instances": {"instance": d.Image(), "instance_count": d.List(d.Value("int64"))},
        "native": {"label_source": d.Image()},
    }
    for option in options:
        features |= optional[option]
    return d.Features(features)


OPTIONS = [(), ("native",), ("centroids",), ("instances",), ("erased",), ("cpp-4", "cpp-8"), tuple(sorted(OPTIONAL))]


@pytest.mark.parametrize("options", OPTIONS)
def test_schema_is_the_one_of_datasets(options):
    ours, theirs = arrow_schema(options, SOURCES, CLASSES), reference(options).arrow_schema
    assert ours.equals(theirs, check_metadata=False)
    assert json.loads(ours.metadata[b"huggingface"]) == json.loads(theirs.metadata[b"huggingface"])


@pytest.mark.parametrize("options", OPTIONS)
def test_card_features_are_read_back_by_datasets(options):
    import datasets as d

    text = yaml.safe_dump(card_features(options, SOURCES, CLASSES), sort_keys=False)
    assert d.Features._from_yaml_list(yaml.safe_load(text)) == reference(options)


def test_columns_keep_their_order():
    assert list(columns(["native"])) == [*columns([]), "label_source"]
    assert list(columns(["instances", "native"]))[8:] == ["instance", "instance_count", "label_source"]


def test_every_column_is_told_of_in_the_card():
    assert set(columns(list(OPTIONAL))) == set(_COLUMN_TEXT)

"""Croissant metadata against the real `mlcroissant`: it validates, and its records are the version's rows."""

from __future__ import annotations

import datetime
import hashlib
import json

import numpy as np
import pyarrow.dataset as ds
import pytest

from unify.artifact import open_artifact
from unify.build import build
from unify.cli import run
from unify.errors import UnifyError
from unify.publish.croissant import CONTEXT, croissant, day_built
from unify.sample import write_streets
from unify.verify import verify

from .worlds import plan_of, small_world

pytestmark = pytest.mark.filterwarnings("ignore")  # of mlcroissant and what it imports


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    """A version of generated scenes, whose labels are real label maps."""
    roots = tmp_path_factory.mktemp("streets")
    write_streets(roots / "s", ["cityscapes", "idd"], 2, 0, size=0.05)
    return build(plan_of(roots / "s", "C,I"), tmp_path_factory.mktemp("out")).artifact


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    roots = small_world(tmp_path_factory.mktemp("raw"), "CIBMV")
    return build(plan_of(roots, "C,M,V", "cityscapes19", options=["native"]), tmp_path_factory.mktemp("out")).artifact


def opened(jsonld, **options):
    mlc = pytest.importorskip("mlcroissant")
    dataset = mlc.Dataset(jsonld=jsonld, **options)
    issues = dataset.metadata.ctx.issues
    assert not issues.errors and not issues.warnings, issues.report()
    return dataset


def rows_of(artifact) -> dict[str, dict]:
    files = [artifact.path / f for f in artifact.manifest.files if f.startswith("data/")]
    return {r["sample_id"]: r for r in ds.dataset(files, format="parquet").to_table().to_pylist()}


@pytest.fixture
def written(streets):
    """croissant.json beside the version, as the command writes it."""
    file = streets.path.parent / "croissant.json"
    assert run(["croissant", str(streets.path), "-o", str(file)]) == 0
    return file


def test_records_are_the_rows(streets, written):
    dataset = opened(str(written))
    rows, seen = rows_of(streets), set()
    for record in dataset.records("union"):
        row = rows[record["union/sample_id"].decode()]
        seen.add(row["sample_id"])
        assert record["union/split"].decode() == row["sample_id"].split("/")[1]
        for column in ("source", "height", "width"):
            assert record[f"union/{column}"] == row[column]
        for column in ("classes", "pixel_count"):
            assert list(record[f"union/{column}"]) == row[column]
        label_hw = np.asarray(record["union/label"])
        assert label_hw.shape == (row["height"], row["width"])
        counts = np.bincount(label_hw.reshape(-1), minlength=256)
        classes = len(streets.taxonomy.space)
        assert [*counts[:classes], counts[255]] == row["pixel_count"], "the pixels are the ids of the classes"
        assert np.asarray(record["union/image"]).shape == (*label_hw.shape, 3)
    assert seen == set(rows)


def test_each_source_and_split_by_itself(streets, written):
    for source in ("cityscapes", "idd"):
        ids = {r[f"{source}/sample_id"].decode() for r in opened(str(written)).records(source)}
        assert ids == {i for i in rows_of(streets) if i.startswith(source)}
    for split in ("train", "val"):
        found = opened(str(written)).records("union", filters={"union/split": split})
        assert {r["union/sample_id"].decode() for r in found} == {i for i in rows_of(streets) if f"/{split}/" in i}


def test_classes_sources_and_statistics(streets, written):
    dataset = opened(str(written))
    space = streets.taxonomy.space
    classes = [(r["classes/id"], r["classes/name"], r["classes/color"]) for r in dataset.records("classes")]
    assert classes == [(c.id, c.name, "#{:02x}{:02x}{:02x}".format(*c.color)) for c in space.classes]
    sources = {r["sources/id"]: r["sources/name"] for r in dataset.records("sources")}
    assert sources == dict(enumerate(streets.manifest.sources))
    stats = [(r["stats/source"].decode(), r["stats/class_id"], r["stats/pixels"]) for r in dataset.records("stats")]
    columns = streets.stats().select(["source", "class_id", "pixels"]).to_pylist()
    assert stats == [tuple(row.values()) for row in columns]


def test_the_version_is_not_touched_by_it(streets, written):
    assert verify(streets).ok


def test_of_a_repository(real):
    """With a URL; mlcroissant is given the folder in place of a clone."""
    url = "https://huggingface.co/datasets/me/cmv"
    found = croissant(real, published="2026-01-02", url=url)
    dataset = opened(found, mapping={"repository": str(real.path)})
    assert {r["union/sample_id"].decode() for r in dataset.records("union")} == set(rows_of(real))
    assert {"union/label_source"} <= next(iter(dataset.records("union"))).keys()
    metadata = dataset.metadata
    assert (metadata.name, str(metadata.version), metadata.url) == (real.manifest.name, "1.0.0", url)
    assert metadata.date_published == datetime.datetime(2026, 1, 2)


def test_checksums_licences_and_citations(real):
    found = croissant(real, published="2026-01-02")
    files = {d["@id"]: d for d in found["distribution"] if d["@type"] == "cr:FileObject"}
    assert set(files) == {"manifest.json", *(n for n in real.manifest.files if not n.startswith("data/"))}
    for name, facts in files.items():
        data = (real.path / name).read_bytes()
        assert facts["sha256"] == hashlib.sha256(data).hexdigest()
        assert facts["contentSize"] == f"{len(data)} B"
    assert found["license"][0] == "https://www.cityscapes-dataset.com/license/"
    assert len(found["license"]) == len(found["creator"]) == 3
    assert all(name in found["citeAs"] for name in ("Cordts", "Neuhold", "Brostow"))
    assert found["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert json.loads(json.dumps(found)) == found, "plain types"
    assert croissant(real, published="2026-01-02") == found


def test_generated_images_are_said_to_be(streets):
    found = croissant(streets, published="2026-01-02")
    assert "Generated images, not the real dataset: cityscapes, idd." in found["description"]
    assert found["license"] == ["https://creativecommons.org/publicdomain/zero/1.0/"]


def test_the_context_is_the_official_one():
    mlc = pytest.importorskip("mlcroissant")
    from mlcroissant._src.core.context import CroissantVersion
    from mlcroissant._src.core.rdf import make_context

    context = mlc.Context(conforms_to=CroissantVersion.V_1_0)
    assert make_context(context) == CONTEXT


def test_a_changed_small_file_does_not_pass(streets, written):
    """mlcroissant compares the checksum that we write."""
    text = written.read_text()
    digest = next(d["sha256"] for d in json.loads(text)["distribution"] if d["@id"] == "stats.parquet")
    written.write_text(text.replace(digest, "0" * 64))
    mlc = pytest.importorskip("mlcroissant")
    with pytest.raises(Exception, match=r"Download\(stats.parquet\)") as caught:
        list(mlc.Dataset(str(written)).records("stats"))
    assert "not identical" in str(caught.value.__cause__)


def test_printed_it_is_seen_from_the_version(streets, capsys):
    assert run(["croissant", str(streets.path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["distribution"][0]["includes"] == "data/*/*.parquet"
    made = datetime.datetime.fromtimestamp((streets.path / "manifest.json").stat().st_mtime, datetime.UTC)
    assert found["datePublished"] == day_built(streets) == made.date().isoformat()


@pytest.mark.parametrize(
    ("target", "words"),
    [("1.0.0/croissant.json", "lies in the version"), ("../elsewhere/croissant.json", "is not above it")],
)
def test_a_place_from_which_the_files_cannot_be_named(streets, capsys, target, words):
    file = streets.path.parent / target
    assert run(["croissant", str(streets.path), "-o", str(file)]) == 2
    err = capsys.readouterr().err
    assert words in err and "croissant.json" in err
    assert not file.exists()
    assert run(["croissant", str(streets.path), "--date", "yesterday"]) == 2
    assert "is no date" in capsys.readouterr().err


def test_an_edited_version_is_refused(real, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(real.path, copy)
    (copy / "taxonomy.json").unlink()
    with pytest.raises(UnifyError, match="bad-artifact"):
        croissant(open_artifact(copy), published="2026-01-02")

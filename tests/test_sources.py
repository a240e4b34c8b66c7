"""The adapters against their true layouts: what a folder is, which splits it has, what pairs with what."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest

from unify.errors import KINDS, UnifyError
from unify.sources import SOURCES, Detection, detect, detect_any, source_named
from unify.spaces import load_space, space_names

from . import layouts
from .raw import CAMVID, find, only, release, told, write_all


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("raw"))


# ---- the table of sources


def test_sources_name_spaces_that_exist_and_carry_what_has_to_be_passed_on():
    assert "".join(s.letter for s in SOURCES.values()) == "CIBMVKAWPXN"
    for name, source in SOURCES.items():
        assert source.name == name and source.version >= 1
        assert source.homepage.startswith("http") and source.license and source.citation.endswith(".")
        for key, r in source.releases.items():
            assert r.name == key
            assert {r.space, r.train_space} <= set(space_names())
            assert "train" in r.splits and set(r.splits).isdisjoint(r.withheld)


def test_releases_cross_processes(world):
    for folder in ("cityscapes", "vistas", "old", "camvid 701"):
        found = only(world / folder)
        for name in found.offers:
            r = release(found.source, name)
            assert pickle.loads(pickle.dumps(r)).find(found.root, "train") == r.find(found.root, "train")


@pytest.mark.parametrize("text", ["I", "i", "idd", "IDD", " idd "])
def test_sources_by_letter_or_name(text):
    assert source_named(text) is SOURCES["idd"]


def test_an_unknown_source_lists_the_known():
    with pytest.raises(UnifyError) as e:
        source_named("Z")
    assert e.value.exit_code == 2
    assert str(e.value) == (
        "unify: unknown-dataset: no dataset 'Z' — known: C cityscapes, I idd, B bdd100k, M mapillary, V camvid, "
        "K kitti, A acdc, W wilddash, P voc, X context, N nyu"
    )


# ---- the true layouts


@pytest.mark.parametrize(
    ("folder", "source", "offers", "pairs"),
    [
        ("cityscapes", "cityscapes", ("fine",), 4),
        ("idd", "idd", ("20k",), 4),
        ("part one", "idd", ("20k",), 2),
        ("part two", "idd", ("20k",), 2),
        ("bdd100k", "bdd100k", ("sem_seg",), 2),
        ("old", "bdd100k", ("seg",), 2),
        ("vistas", "mapillary", ("v1.2", "v2.0"), 5),
        ("vistas 1", "mapillary", ("v1.2",), 2),
        ("camvid", "camvid", ("segnet",), 2),
    ],
)
def test_true_layouts_are_told_apart_and_pair_up_by_name(world, folder, source, offers, pairs):
    found = only(world / folder)
    assert found == Detection(source, offers[0], world / folder, (), offers)
    listing = find(world / folder)
    assert listing.problems == () and len(listing.pairs) == pairs
    ids = [p.sample_id for p in listing.pairs]
    assert ids == sorted(set(ids))
    for pair in listing.pairs:
        assert (world / folder / pair.image).is_file() and (world / folder / pair.label).is_file()
        stem = pair.sample_id.rpartition("/")[2]
        assert Path(pair.image).name.startswith(stem) and Path(pair.label).name.startswith(stem)


def test_sample_ids(world):
    assert find(world / "cityscapes").pairs[0].sample_id == "aachen_000000_000019"
    assert [p.sample_id for p in find(world / "idd").pairs] == [
        "I/201/frame0029", "I/201/frame0031", "II/201/frame0030", "II/201/frame0032",
    ]  # fmt: skip
    assert [p.sample_id for p in find(world / "part two").pairs] == ["II/201/frame0029", "II/201/frame0030"]
    assert find(world / "bdd100k").pairs[0].sample_id == "0a0a0b1a-7c39d841"
    assert {p.sample_id[0] for p in find(world / "vistas").pairs} >= {"-", "_"}
    assert find(world / "camvid", "test").pairs[0].sample_id == "Seq05VD_f006690"


def test_both_releases_of_the_mapillary_download_pair_the_same_images(world):
    old, new = (release("mapillary", r).find(world / "vistas", "train") for r in ("v1.2", "v2.0"))
    assert [p.image for p in old.pairs] == [p.image for p in new.pairs]
    assert {Path(p.label).parts[1] for p in old.pairs} == {"v1.2"}
    assert {Path(p.label).parts[1] for p in new.pairs} == {"v2.0"}


def test_the_older_and_the_newer_bdd_layout_side_by_side(tmp_path):
    layouts.write_bdd100k(tmp_path / "bdd100k")
    layouts.write_bdd100k(tmp_path / "bdd100k", release="seg")
    assert only(tmp_path / "bdd100k").offers == ("sem_seg", "seg")


def test_a_v1_download_with_the_labels_of_v2_unpacked_over_it(tmp_path):
    layouts.write_mapillary(tmp_path, layout="v1.x")
    layouts.write_mapillary(tmp_path)  # the same seed, the same keys
    (tmp_path / "config_v1.2.json").unlink()
    shutil.rmtree(tmp_path / "training/v1.2")
    assert only(tmp_path).offers == ("v1.2", "v2.0")
    for name, folder in (("v1.2", "training/labels"), ("v2.0", "training/v2.0/labels")):
        listing = release("mapillary", name).find(tmp_path, "train")
        assert listing.problems == ()
        assert {str(Path(p.label).parent) for p in listing.pairs} == {folder}


def test_labels_of_v2_in_the_folders_of_v1(tmp_path):
    layouts.write_mapillary(tmp_path, layout="v1.x")
    layouts.write_json(tmp_path / "config.json", layouts.mapillary_config(load_space("mapillary-v2.0"), "2.0"))
    found = only(tmp_path)
    assert (found.release, found.offers, found.missing) == ("v2.0", ("v2.0",), ())
    assert find(tmp_path).pairs[0].label.startswith("training/labels/")


def test_a_folder_around_the_root_is_seen_through(tmp_path):
    layouts.write_bdd100k(tmp_path / "a/bdd100k")
    layouts.write_camvid(tmp_path / "b/CamVid")
    assert only(tmp_path / "a").root == tmp_path / "a/bdd100k"
    assert only(tmp_path / "b").root == tmp_path / "b/CamVid"


def test_letter_case_of_suffixes_and_part_folders_does_not_matter(tmp_path):
    layouts.write_idd(tmp_path)
    (tmp_path / "idd20kII").rename(tmp_path / "IDD20Kii")
    for path in [*tmp_path.rglob("*.jpg"), *tmp_path.rglob("*.json")]:
        path.rename(path.with_name(path.name.upper()))
    listing = find(tmp_path)
    assert listing.problems == ()
    assert [p.sample_id for p in listing.pairs] == ["I/201/frame0029", "II/201/FRAME0030"]


def test_generated_roots_are_known_by_the_truth_beside_them(tmp_path):
    layouts.write_cityscapes(tmp_path / "cityscapes")
    assert not only(tmp_path / "cityscapes").generated
    (tmp_path / "truth.json").write_text("{}")
    assert only(tmp_path / "cityscapes").generated


# ---- detection of what is incomplete or something else


def test_nothing_is_detected_in_an_ordinary_folder(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / "config.json").write_text('{"labels": ["a", {"name": "b"}], "model": 1}')
    assert detect_any(tmp_path) == []
    assert detect_any(tmp_path / "no such folder") == []


@pytest.mark.parametrize(
    ("write", "gone", "source", "missing"),
    [
        (layouts.write_cityscapes, ["leftImg8bit"], "cityscapes", ("leftImg8bit/",)),
        (layouts.write_cityscapes, ["gtFine"], "cityscapes", ("gtFine/",)),
        (layouts.write_idd, ["idd20kII/gtFine"], "idd", ("idd20kII/gtFine/",)),
        (layouts.write_bdd100k, ["labels"], "bdd100k", ("labels/sem_seg/masks/",)),
        (layouts.write_bdd100k, ["images"], "bdd100k", ("images/10k/",)),
        (layouts.write_mapillary, ["config_v1.2.json", "config_v2.0.json"], "mapillary",
         ("config.json (v1.x), or config_v1.2.json and config_v2.0.json",)),
        (layouts.write_mapillary, ["training", "validation"], "mapillary",
         ("training/images/ and validation/images/",)),
        (layouts.write_camvid, ["train"], "camvid", ("train/",)),
    ],
)  # fmt: skip
def test_what_a_root_lacks_is_named(tmp_path, write, gone, source, missing):
    write(tmp_path / "root")
    for name in gone:
        path = tmp_path / "root" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = only(tmp_path / "root")
    assert (found.source, found.missing) == (source, missing)


def test_folders_without_files_are_no_data_set(tmp_path):
    (tmp_path / "leftImg8bit/train").mkdir(parents=True)
    (tmp_path / "gtFine/train").mkdir(parents=True)
    assert only(tmp_path).missing == ("images in leftImg8bit/{split}/{city}/",)


@pytest.mark.parametrize("name", ["config.json", "config_v1.2.json", "config_v2.0.json"])
def test_a_mapillary_config_of_an_unknown_release_is_refused_with_its_count(tmp_path, name):
    layouts.write_mapillary(tmp_path, layout="v1.x" if name == "config.json" else "v2.0")
    config = layouts.mapillary_config(load_space("mapillary-v1.2"), "1.3")
    config["labels"] = config["labels"][:65]
    layouts.write_json(tmp_path / name, config)
    known = {
        "config.json": "the 66 labels of v1.2 or the 124 labels of v2.0",
        "config_v1.2.json": "the 66 labels of v1.2",
        "config_v2.0.json": "the 124 labels of v2.0",
    }[name]
    assert only(tmp_path).missing == (f"{known} in {name} (it lists 65, other ones)",)


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b'{"labels": 3}', b"\xff" * 9, b"[1]", b" " * (2 << 20)])
def test_a_broken_mapillary_config_is_no_config(tmp_path, content):
    layouts.write_mapillary(tmp_path, layout="v1.x")
    (tmp_path / "config.json").write_bytes(content)
    (missing,) = only(tmp_path).missing
    assert missing == "the 66 labels of v1.2 or the 124 labels of v2.0 in config.json (it lists 0)"


def test_a_mapillary_config_with_one_name_changed_is_another_release(tmp_path):
    layouts.write_mapillary(tmp_path, layout="v1.x")
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace("animal--bird", "animal--fish"))
    assert only(tmp_path).missing[0].endswith("(it lists 66, other ones)")


def test_a_folder_that_may_not_be_looked_into_is_not_passed_over(tmp_path, monkeypatch):
    def refuse(self, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", refuse)
    with pytest.raises(UnifyError, match=r"no-permission: .*: cannot be looked into: Permission denied") as e:
        detect(SOURCES["cityscapes"], tmp_path)
    assert e.value.exit_code == 77


# ---- splits


def test_splits_without_labels_are_refused_with_the_reason(world):
    listing = find(world / "cityscapes", "test")
    assert told(listing) == [
        ("empty-split", "", "no 'test' to build: the test labels that Cityscapes ships are dummies")
    ]
    assert listing.problems[0].fix == "take train, val"
    for folder in ("idd", "bdd100k", "vistas"):
        assert "keeps its test labels to itself" in find(world / folder, "test").problems[0].what


def test_an_unknown_split_lists_the_known(world):
    with pytest.raises(UnifyError, match="usage: no split 'trian' — known: train, val, test") as e:
        find(world / "bdd100k", "trian")
    assert e.value.exit_code == 2


def test_a_split_that_is_not_there(tmp_path):
    layouts.write_camvid(tmp_path)
    assert told(find(tmp_path, "test")) == [("empty-split", "test", "no such folder")]
    (tmp_path / "test").mkdir()
    assert told(find(tmp_path, "test")) == [("empty-split", "test", "no images (*.png)")]
    assert KINDS["empty-split"] == 65


def test_a_part_of_idd_without_the_split_is_no_fault_if_the_other_has_it(tmp_path):
    layouts.write_idd(tmp_path, val=1)
    assert told(find(tmp_path, "val")) == []
    shutil.rmtree(tmp_path / "IDD_Segmentation/leftImg8bit/val")
    shutil.rmtree(tmp_path / "IDD_Segmentation/gtFine/val")
    assert [p.kind for p in find(tmp_path, "val").problems] == ["empty-split"] * 2


# ---- real data


@pytest.mark.skipif(not CAMVID.is_dir(), reason=f"no CamVid in {CAMVID}")
def test_real_camvid():
    found = only(CAMVID)
    assert (found.source, found.release, found.missing, found.generated) == ("camvid", "segnet", (), False)
    r = release("camvid", "segnet")
    for split in ("train", "val"):
        listing = r.find(CAMVID, split)
        assert listing.problems == () and len(listing.pairs) == r.splits[split]
    assert told(r.find(CAMVID, "test")) == [("empty-split", "test", "no such folder")]

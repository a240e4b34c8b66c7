"""A dataset of the user's own: the page that explains it, run as it stands, and every wrong table."""

from __future__ import annotations

import pickle
import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from unify.cli import app
from unify.errors import UnifyError
from unify.roots import known_sources, parse_datasets, resolve_roots
from unify.sources import SOURCES, detect_any, source_named
from unify.sources.custom import custom_sources

from . import layouts
from .layouts import photo, save

PAGE = (Path(__file__).parents[1] / "docs/own_dataset.md").read_text(encoding="utf-8")
BLOCKS = dict(
    zip(
        ("unify.toml", "my/spaces/orchard.yaml", "my/spaces/orchard2.yaml", "my/to_orchard2/orchard.yaml", "commands"),
        re.findall(r"```(?:toml|yaml|sh)\n(.*?)```", PAGE, re.DOTALL),
        strict=True,
    )
)
SPLIT_OF = {"2023": "train", "2024": "val"}
SAMPLES = [("train", "tree0"), ("train", "tree1"), ("train", "tree2"), ("val", "tree0")]
TABLE = tomllib.loads(BLOCKS["unify.toml"])["datasets"]["orchard"]


def write_orchard(root: Path) -> dict[str, np.ndarray]:
    """Photos and masks as the page describes them. Sample id in a version → ids (H, W)."""
    rng = np.random.default_rng(0)
    written = {}
    for folder, count in (("2023", 3), ("2024", 1)):
        for i in range(count):
            ids_hw = layouts.blocks(rng, [0, 1, 2, 9], (32, 16))
            save(photo(rng, ids_hw), root / f"photos/{folder}/tree{i}.jpg")
            save(Image.fromarray(ids_hw), root / f"masks/{folder}/tree{i}_mask.png")
            written[f"orchard/{SPLIT_OF[folder]}/tree{i}"] = ids_hw
    return written


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The files of the page and the data they speak of, in the working folder."""
    monkeypatch.chdir(tmp_path)
    for name, text in BLOCKS.items():
        if name != "commands":
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
            assert name == "unify.toml" or f"`{name}`" in PAGE
    return write_orchard(tmp_path / "orchard")


def run(line: str) -> None:
    result = CliRunner().invoke(app, shlex.split(line)[1:], standalone_mode=False, catch_exceptions=False)
    assert result.return_value == 0, result.output


def labels_of(path: str) -> dict[str, np.ndarray]:
    import datasets

    found = datasets.load_dataset(path, "orchard")
    return {row["sample_id"]: np.asarray(row["label"]) for split in found.values() for row in split}


def test_the_page_as_it_stands(page, tmp_path):
    layouts.write_cityscapes(tmp_path / "cityscapes")
    for line in BLOCKS["commands"].replace("/data/", f"{tmp_path}/").splitlines():
        run(line)
    for path, vegetation in (("out/o-union2/1.0.0", 1), ("out/co-cityscapes19/1.0.0", 8)):
        becomes = {0: 255, 1: vegetation, 2: vegetation, 9: 0}  # road is the first class of both
        labels = labels_of(path)
        assert sorted(labels) == [f"orchard/{split}/{name}" for split, name in SAMPLES]
        for sample_id, label_hw in labels.items():
            assert np.array_equal(label_hw, np.vectorize(becomes.get)(page[sample_id]))
    card = Path("out/co-cityscapes19/1.0.0/README.md").read_text()
    assert "- Cityscapes: " in card and "- orchard: not stated. Terms: not stated." in card


def test_the_table_is_as_short_as_promised():
    assert len(BLOCKS["unify.toml"].splitlines()) + 1 <= 10, "the table and one command"


# ---- as a source


def sources_of(**changes: object) -> dict:
    """`SOURCES` and the page's table with changes; a value of None takes a key out."""
    table = {key: value for key, value in {**TABLE, **changes}.items() if value is not None}
    return {**SOURCES, **custom_sources({"orchard": table}, "unify.toml", SOURCES)}


def test_it_is_named_and_found_like_any_other(page, tmp_path):
    sources = known_sources()
    assert list(sources)[:-1] == list(SOURCES) and list(SOURCES).count("orchard") == 0
    assert source_named("o", sources) is source_named("Orchard", sources) is sources["orchard"]
    assert [w.source for w in parse_datasets("O,C", sources)] == ["cityscapes", "orchard"]
    for options, environ in (((), {}), (("O=orchard",), {}), ((".",), {}), ((), {"UNIFY_ROOT_O": "orchard"})):
        found = resolve_roots("O", options, environ=environ, sources=sources)["orchard"]
        assert (found.root, found.release, found.offers, found.missing) == (
            tmp_path / "orchard", "custom", ("custom",), (),
        )  # fmt: skip
    assert [d.source for d in detect_any(tmp_path / "orchard", sources)] == ["orchard"]
    assert detect_any(tmp_path / "orchard") == []


def test_a_root_that_is_given_comes_before_the_table(page, tmp_path):
    write_orchard(tmp_path / "other")
    found = resolve_roots("O", ["O=other"], environ={}, sources=known_sources())
    assert found["orchard"].root == tmp_path / "other"


def test_commands_that_do_not_know_the_table_still_read_the_roots(page, tmp_path):
    layouts.write_cityscapes(tmp_path / "cs")
    Path("unify.toml").write_text(BLOCKS["unify.toml"] + '[roots]\nC = "cs"\n')
    assert list(resolve_roots(None, environ={})) == ["cityscapes"]
    assert list(resolve_roots(None, environ={}, sources=known_sources())) == ["cityscapes", "orchard"]


def test_its_release_pairs_by_name_and_crosses_processes(page, tmp_path):
    release = sources_of()["orchard"].releases["custom"]
    listing = pickle.loads(pickle.dumps(release)).find(tmp_path / "orchard", "train")
    assert listing == release.find(tmp_path / "orchard", "train")
    assert [(p.sample_id, p.image, p.label) for p in listing.pairs[:1]] == [
        ("tree0", "photos/2023/tree0.jpg", "masks/2023/tree0_mask.png")
    ]
    (tmp_path / "orchard/masks/2024/tree0_mask.png").unlink()
    (problem,) = release.find(tmp_path / "orchard", "val").problems
    assert (problem.kind, problem.path) == ("missing-label", "photos/2024/tree0.jpg")


def test_folders_between_keep_equal_names_apart(tmp_path):
    sources = sources_of(images="photos/{split}/*/*.jpg", labels="masks/{split}/*/*.png", splits={"train": "a"})
    for row in ("east", "west"):
        save(Image.new("RGB", (4, 4)), tmp_path / f"photos/a/{row}/tree.jpg")
        save(Image.new("L", (4, 4)), tmp_path / f"masks/a/{row}/tree.png")
    listing = sources["orchard"].releases["custom"].find(tmp_path, "train")
    assert [p.sample_id for p in listing.pairs] == ["east/tree", "west/tree"] and listing.problems == ()


def test_one_split_needs_no_placeholder(tmp_path):
    sources = sources_of(images="photos/*.jpg", labels="masks/*.png", splits={"train": "all"})
    save(Image.new("RGB", (4, 4)), tmp_path / "photos/tree.jpg")
    save(Image.new("P", (4, 4)), tmp_path / "masks/tree.png")
    assert len(sources["orchard"].releases["custom"].find(tmp_path, "train").pairs) == 1


def test_a_dataset_of_test_images_only_is_built_without_asking_for_a_split(page, tmp_path):
    text = BLOCKS["unify.toml"].replace('train = "2023", val = "2024"', 'test = "2023"')
    assert text != BLOCKS["unify.toml"]
    Path("unify.toml").write_text(text)
    run("unify build --datasets O --mappings my")
    assert sorted(labels_of("out/o-union2/1.0.0")) == [f"orchard/test/tree{i}" for i in range(3)]


@pytest.mark.parametrize("suffix", ["16 bits", "colours"])
def test_masks_that_hold_no_ids_of_8_bits(page, tmp_path, suffix):
    """`use masks/...` would be what the user has already."""
    mask = Path("orchard/masks/2023/tree0_mask.png")
    ids_hw = np.full((32, 16), 300, np.uint16)
    save(Image.fromarray(ids_hw if suffix == "16 bits" else np.zeros((32, 16, 3), np.uint8)), mask)
    result = CliRunner().invoke(app, ["build", "--datasets", "O", "--mappings", "my"], standalone_mode=False)
    (line,) = str(result.exception).splitlines()
    assert "bad-label" in line and suffix in line.replace("RGB ", "")
    assert line.endswith("save the masks as PNG with 8 bits; ids above 255 have to be renumbered")


# ---- wrong tables


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"letter": "C"}, "the letter C is that of cityscapes"),
        ({"letter": "x"}, "the letter x is that of context"),
        ({"letter": "OO"}, "letter has to be one of A to Z, not 'OO'"),
        ({"letter": None, "splits": None}, "lacks letter, splits"),
        ({"letter": 3}, "letter has to be a text"),
        ({"root": 3}, "root has to be a text"),
        ({"encodings": "gray", "levels": 2}, "unknown keys: encodings, levels"),
        ({"encoding": "colors"}, "encoding has to be gray or palette, not 'colors'"),
        ({"splits": ["train"]}, 'splits has to give folders, such as { train = "train", val = "val" }'),
        ({"splits": {}}, 'splits has to give folders, such as { train = "train", val = "val" }'),
        ({"images": "/photos/{split}/*.jpg"},
         "images has to look like FOLDER/{split}/*SUFFIX, below the root, not '/photos/{split}/*.jpg'"),
        ({"labels": "../{split}/*.png"}, "labels has to look like FOLDER/{split}/*SUFFIX, below the root, not"),
        ({"labels": "masks/{split}/tree*.png"}, "labels has to look like"),
        ({"labels": "masks/{split}/**/*.png"}, "labels has to look like"),
        ({"labels": "masks/{split}"}, "labels has to look like"),
        ({"labels": "masks/*.png"}, "several splits need {split} in images and in labels"),
        ({"images": TABLE["labels"]}, "images and labels are the same files"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table(changes, what):
    with pytest.raises(UnifyError) as e:
        sources_of(**changes)
    (problem,) = e.value.problems
    assert (problem.kind, problem.path, problem.exit_code) == ("bad-config", "unify.toml", 78)
    assert problem.what.startswith(f"[datasets.orchard]: {what}")
    assert problem.fix == "docs/own_dataset.md shows a whole table"


@pytest.mark.parametrize(
    ("name", "what"), [("idd", "the name 'idd' is taken"), ("My Set", "a name has a-z, 0-9, - and _ only")]
)
def test_names_of_datasets(name, what):
    with pytest.raises(UnifyError) as e:
        custom_sources({name: TABLE}, "unify.toml", SOURCES)
    assert [p.what for p in e.value.problems] == [f"[datasets.{name}]: {what}"]


def test_all_faults_of_all_tables_at_once():
    with pytest.raises(UnifyError) as e:
        custom_sources({"a": TABLE, "b": TABLE, "c": {**TABLE, "letter": "C", "encoding": "x"}}, "u.toml", SOURCES)
    assert [p.what for p in e.value.problems] == [
        "[datasets.b]: the letter O is that of a",
        "[datasets.c]: the letter C is that of cityscapes",
        "[datasets.c]: encoding has to be gray or palette, not 'x'",
    ]


@pytest.mark.parametrize("text", ["datasets = 3", "[datasets]\nmine = 3", "[[datasets]]\nletter = 'O'"])
def test_what_is_no_table(text, tmp_path):
    (tmp_path / "u.toml").write_text(text)
    with pytest.raises(UnifyError, match=r"bad-config: .*u.toml: \[datasets\] holds something else than tables"):
        known_sources(tmp_path / "u.toml")


def test_known_sources_need_a_file_that_can_be_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert known_sources() == SOURCES
    with pytest.raises(UnifyError, match=r"not-found: u.toml: cannot be read"):
        known_sources(Path("u.toml"))

"""Recipes have the papers' settings, their commands can be given, and the page says what they are.

`python -m tests.test_recipes` writes docs/recipes.md anew.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import click
import pytest

from trainers.recipes import PAPERS, RECIPES, recipe_named
from trainers.recipes.page import page
from trainers.recipes.recipe import NOT_RUN, VERSIONS, Recipe, commands, refuse_others, values_of
from unify.cli import app, run
from unify.draws.mixtures import MIXTURES
from unify.errors import UnifyError
from unify.papers.tables import find_table, load_tables

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "recipes.md"
DETERMINISTIC = ROOT / "benchmarks" / "results" / "deterministic.json"


def cost() -> str:
    ratio = json.loads(DETERMINISTIC.read_text(encoding="utf-8"))["ratio"]
    return f"{100 * (ratio - 1):.0f} % of the time of a step"


def of(paper: str) -> tuple[Recipe, ...]:
    return PAPERS[paper].recipes()


def figures(table: str) -> dict[str, dict[str, Fraction]]:
    """Row -> column -> figure, of a table of the papers."""
    return {
        row.name: {k: figure.value for k, figure in row.values.items()} for row in find_table(load_tables(), table).rows
    }


def given(recipe: Recipe, *names: str) -> tuple:
    return tuple(recipe.settings.get(name) for name in names)


# --- The papers' settings -----------------------------------------------------------------------------------


def test_dropclass_is_table_e3():
    models = {
        "HRNetV1": "hrnet-w18-small-v1",
        "HRNetV2": "hrnet-w18-small-v2",
        "DeeplabV3": "deeplabv3-mobilenetv3",
    }
    datasets = {  # supplement, Section E: epochs of baseline and DropClass, crop height x width
        "Cityscapes": ("cityscapes", 484, 968, (512, 1024)),
        "Pascal VOC": ("voc", 200, 400, (480, 480)),
    }
    printed = figures("E-3")
    assert len(printed) == 6 and len(of("dropclass")) == 18
    for name, row in printed.items():
        dataset, net = name.split(", ")
        short, first, second, crop = datasets[dataset]
        for suffix, method, epochs in (
            ("-baseline", "ce", first),
            ("", "dropclass", second),
            ("-baseline-equal", "ce", second),
        ):
            recipe = RECIPES[f"dropclass-{short}-{net.lower()}{suffix}"]
            assert (recipe.method, recipe.epochs, recipe.steps) == (method, epochs, 0)
            assert (recipe.images, recipe.processes) == (row["Batch size"], 4)
            assert Fraction(str(recipe.settings["lr"])) == row["Learning rate"]
            assert recipe.settings["model"] == models[net]
            assert given(recipe, "scale_min", "scale_max", "flip") == (0.5, 2.0, 0.5)
            height = recipe.settings["crop"]
            assert (height, recipe.settings.get("crop_width", height)) == crop
            assert bool(recipe.control) == (suffix == "-baseline-equal")
    assert "P@trainaug" in VERSIONS["p-voc20"], "VOC without background"


#: Supplement of the CPP paper, Section A.1: lr, weight decay, iterations, batch per GPU, crop width x height.
CPP = {
    "cityscapes": (0.01, 5e-4, 80_000, 2, (1024, 512)),
    "voc": (0.01, 5e-4, 40_000, 2, (512, 512)),
    "context": (0.004, 1e-4, 40_000, 2, (480, 480)),
    "nyu": (0.004, 1e-4, 40_000, 4, (640, 480)),
}


@pytest.mark.parametrize("dataset", CPP)
def test_cpp_is_section_a1(dataset):
    lr, decay, steps, batch, (width, height) = CPP[dataset]
    rows = [recipe for recipe in of("cpp") if recipe.name.startswith(f"cpp-{dataset}-")]
    assert len(rows) == 7 * 3 and len({recipe.settings["model"] for recipe in rows}) == 7
    for recipe in rows:
        assert given(recipe, "lr", "weight_decay", "batch", "power") == (lr, decay, batch, 0.9)
        assert (recipe.steps, recipe.processes, recipe.images) == (steps, 8, 8 * batch)
        assert (recipe.settings.get("crop_width", recipe.settings["crop"]), recipe.settings["crop"]) == (width, height)
        assert given(recipe, "optimizer", "scale_min", "scale_max", "flip") == ("sgd", 0.5, 2.0, 0.5)
        assert recipe.settings["photometric"] > 0 and recipe.settings["pretrained"] is True
        assert recipe.method == ("ce" if recipe.name.endswith("-baseline") else "cpp")


def test_cpp_has_the_weight_that_was_best():
    (row,) = figures("cpp-1").values()
    best = max(row, key=lambda weight: row[weight])
    weights = {r.settings["aux_weight"] for r in of("cpp") if "aux_weight" in r.settings}
    assert weights == {float(best)} == {0.6}


def test_controls_differ_from_what_they_control_in_one_thing():
    for recipe in of("cpp"):
        if recipe.name.endswith("-nearest"):
            twin = RECIPES[recipe.name.removesuffix("-nearest")]
            assert recipe.settings == {**twin.settings, "aux": "nearest"} and recipe.steps == twin.steps
    for recipe in of("dropclass"):
        if recipe.method == "dropclass":
            twin = RECIPES[f"{recipe.name}-baseline-equal"]
            assert (recipe.settings, recipe.epochs, recipe.data) == (twin.settings, twin.epochs, twin.data)
    equal = [recipe for recipe in of("uniseg") if recipe.name.endswith("-equal")]
    assert len(equal) == 5 * 2 * 3
    for recipe in equal:
        stem, loss = recipe.name.removesuffix("-equal").rsplit(f"-{recipe.method}", 1)[0], recipe.method
        twin = RECIPES[f"{stem}-cr-bce"]
        assert (recipe.settings, recipe.epochs, recipe.images) == (twin.settings, twin.epochs, twin.images)
        assert recipe.begins_with == f"{stem}-{loss}"
        first, other = RECIPES[recipe.begins_with], RECIPES[twin.begins_with]
        assert (first.settings, first.epochs) == (other.settings, other.epochs)


def test_seethrough_is_section_a2():
    """Supplement: SGD, batch 1 per GPU of 8, 5e-4, power 2.0, 0.01, 175 epochs, crop 2048x1024, colour, blur, flip."""
    for recipe in of("seethrough"):
        assert given(recipe, "optimizer", "batch", "weight_decay", "power", "lr") == ("sgd", 1, 5e-4, 2.0, 0.01)
        assert (recipe.processes, recipe.epochs) == (8, 175)
        assert given(recipe, "crop_width", "crop") == (2048, 1024)
        assert recipe.settings["photometric"] > 0 and recipe.settings["blur"] > 0
        assert given(recipe, "flip", "scale_min", "scale_max") == (0.5, 0.5, 2.0)
    whole = RECIPES["seethrough"]
    assert whole.settings["mixture"] == "seethroughnet" and whole.data == ("cm-cityscapes19", "coarse")
    assert [part.share for part in MIXTURES["seethroughnet"].parts] == [0.4, 0.4, 0.2]
    # Code of Tao et al., which it follows.
    assert given(whole, "auxiliary", "unfused_weight") == (0.4, 0.05)


#: Supplement, Sections 2.1 and 2.2.
LEARNING_RATES = {"mobilenetv2": 1e-3, "resnet50": 1e-4, "resnet101": 1e-4}


def test_uncertainty_is_sections_1_and_2():
    rows = of("uncertainty")
    assert len(rows) == (3 + 3 + 1) + (3 + 1 + 1)
    for recipe in rows:
        assert given(recipe, "output_stride", "batch", "backbone_lr", "optimizer") == (16, 2, 0.1, "adam")
        assert given(recipe, "power", "weight_decay", "evaluate_every") == (0.9, 0.0, 100)
        assert given(recipe, "crop", "stretch", "flip", "scale_min", "scale_max") == (768, True, 0.0, 1.0, 1.0)
        assert not any(recipe.settings.get(name, 0) for name in ("crop_width", "rotation", "photometric", "blur"))
        assert (recipe.epochs, recipe.processes, recipe.images) == (60, 1, 2) and recipe.settings["keep_best"]
        models = str(recipe.settings["model"]).split("+")
        factors = [float(f) for f in str(recipe.settings.get("member_lr", "1")).split(",")]
        found = {
            m.removeprefix("deeplabv3plus-"): recipe.settings["lr"] * f for m, f in zip(models, factors, strict=True)
        }
        assert found == {net: pytest.approx(LEARNING_RATES[net]) for net in found}
        assert {test.version for test in recipe.tests} == {"a-cityscapes19", "c-cityscapes19"}, "both directions"


def test_uniseg_is_the_authors_code():
    rows = of("uniseg")
    assert len({(recipe.data, recipe.settings["model"]) for recipe in rows}) == 5 * 3
    for recipe in rows:
        assert given(recipe, "crop", "short_side", "rotation", "flip", "power") == (713, 1080, 10.0, 0.5, 0.9)
        assert given(recipe, "scale_min", "scale_max", "classifier") == (0.5, 2.0, "cosine")
        assert recipe.settings["blur"] > 0 and recipe.settings["weight_decay"] == 1e-4
        stage_2 = bool(recipe.begins_with)
        if "segformer" in recipe.name:
            expected = ("adamw", 6e-5, 150, 16, True)
        elif stage_2:
            expected = ("adamw", 1e-3, 50, 16, False)
        else:
            expected = ("sgd", 0.01, 150, 32 if "-w18-" in recipe.name else 16, True)
        settings = recipe.settings
        found = (settings["optimizer"], settings["lr"], recipe.epochs, recipe.images, settings["pretrained"])
        assert found == expected, recipe.name
        assert (recipe.method == "cr-bce") == bool(recipe.relations)
        if stage_2:
            assert RECIPES[recipe.begins_with].settings["model"] == settings["model"]


# --- All of them --------------------------------------------------------------------------------------------


def test_there_are_207():
    assert {paper: len(of(paper)) for paper in PAPERS} == {
        "uniseg": 90, "dropclass": 18, "cpp": 84, "seethrough": 3, "uncertainty": 12,
    }  # fmt: skip
    assert len(RECIPES) == 207


def test_what_a_recipe_names_is_there():
    for name, recipe in RECIPES.items():
        assert name == recipe.name
        assert all(other in RECIPES for other in filter(None, (recipe.begins_with, recipe.relations, *recipe.members)))
        assert {*recipe.data, *(test.version for test in recipe.tests)} <= VERSIONS.keys()
        assert recipe.settings.get("mixture", "uniseg") in MIXTURES
        assert bool(recipe.epochs) != bool(recipe.steps)
        fields = {*recipe.settings, "processes", "data", "net", "relations"}
        assert set(recipe.reconstruction) <= fields, name
        assert recipe.measured == NOT_RUN or "python -m" in recipe.measured or "unify " in recipe.measured


@pytest.mark.parametrize("processes", [1, 8])
def test_settings_are_accepted_and_an_update_keeps_its_images(processes):
    pytest.importorskip("torch")
    from trainers.methods import METHODS
    from trainers.models import MODELS
    from trainers.settings import settings_of

    for recipe in RECIPES.values():
        if recipe.images % (recipe.settings["batch"] * processes):
            with pytest.raises(UnifyError, match=f"an update of {recipe.name} is of {recipe.images} images"):
                values_of(recipe, {}, processes)
            continue
        settings = settings_of(recipe.method, values_of(recipe, {}, processes))
        assert settings.batch * settings.accumulate * processes == recipe.images
        assert recipe.method in METHODS and all(name in MODELS for name in settings.model.split("+"))
        for name in settings.model.split("+"):
            assert settings.output_stride in (0, *MODELS[name].strides)


def test_given_values_win():
    recipe = RECIPES["dropclass-cityscapes-hrnetv1"]
    assert values_of(recipe, {}, 1)["accumulate"] == 4
    assert values_of(recipe, {"batch": "6"}, 2)["accumulate"] == 4
    found = values_of(recipe, {"batch": 5, "accumulate": 3, "crop": 64, "lr": "1"}, 1)
    assert (found["batch"], found["accumulate"], found["crop"], found["lr"]) == (5, 3, 64, "1")
    assert "crop_width" not in found, "a square crop was asked for"
    for batch in ("many", "0", "-1", "2.5"):
        assert values_of(recipe, {"batch": batch}, 1)["batch"] == batch, "which Settings refuses"
    with pytest.raises(UnifyError, match="is of 48 images, not of 1 x 5"):
        values_of(recipe, {"batch": 5}, 1)


def test_a_command_that_does_not_fit_is_refused():
    recipe = RECIPES["uniseg-cibm-w18-cr-bce"]
    with pytest.raises(UnifyError) as caught:
        refuse_others(recipe, "ce", {})
    assert [p.what for p in caught.value.problems] == [
        "uniseg-cibm-w18-cr-bce trains cr-bce, not ce",
        "uniseg-cibm-w18-cr-bce begins with the weights of uniseg-cibm-w18-null-bce",
    ]
    refuse_others(recipe, "cr-bce", {"begin_with": "ckpt.safetensors"})
    with pytest.raises(UnifyError, match="dropclass-voc-hrnetv2"):
        recipe_named("dropclass-voc-hrnet2")


# --- Commands -----------------------------------------------------------------------------------------------


def parsed(line: str) -> tuple[click.Command, dict]:
    """A command line of `unify`, as its command takes it; torchrun's own part left out."""
    words = shlex.split(line)
    if words[0] == "torchrun":
        assert words[1] == "--nproc-per-node" and words[2].isdigit() and words[3] == "-m"
        words = words[4:]
    assert words[0] == "unify"
    command = app.commands[words[1]]
    return command, command.make_context(words[1], words[2:]).params


def test_every_command_can_be_given():
    lines = {line for recipe in RECIPES.values() for line in commands(recipe, RECIPES)}
    assert len(lines) > 3 * len(RECIPES)
    for line in lines:
        parsed(line)


def test_the_page_shows_commands_that_can_be_given():
    text = re.sub(r"\\\n\s+", "", page("0 %"))
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    assert len(lines) > 30
    for line in lines:
        parsed(re.split(r"   +", line)[0])  # what it does may stand beside it


def test_commands_come_in_an_order_that_works():
    """What a line reads was made by a line before it."""
    for recipe in RECIPES.values():
        there: set[str] = set()
        for line in commands(recipe, RECIPES):
            command, given = parsed(line)
            if command.name == "build":
                there.add(next(name for name, build in VERSIONS.items() if build == line))
            elif command.name == "train":
                needed = {
                    *given["paths"],
                    *filter(None, (given["relations"] and str(given["relations"]), given["weights"])),
                }
                begin = given["begin_with"]
                needed |= {str(Path(begin).parent)} if begin else set()
                assert needed <= there, line
                there |= {str(given["out"]), f"{given['out']}/best"}
            elif command.name == "relations":
                assert {str(given["model"]), given["data"]} <= there, line
                there.add(str(given["out"]))
            elif command.name == "uncertainty":
                assert {*map(str, given["models"]), given["data"]} <= there, line
                there.add(f"{given['data']}-uncertainty")
            elif command.name == "evaluate":
                assert {str(given["checkpoint"]), given["data"]} <= there, line
        assert f"runs/{recipe.name}" in there


def test_builds_have_the_names_that_recipes_call_them():
    from unify.plan import default_name
    from unify.sources import SOURCES, source_named
    from unify.taxonomy import taxonomy_for

    for version, line in VERSIONS.items():
        _, given = parsed(line)
        chosen = {}
        for part in given["datasets"].split(","):
            letter, _, release = part.partition("@")
            source = source_named(letter, SOURCES)
            chosen[source.name] = source.releases[release or next(iter(source.releases))]
        spaces = {name: release.space for name, release in chosen.items()}
        trained = {name: release.train_space for name, release in chosen.items()}
        taxonomy = taxonomy_for(spaces, trained, given["space"])
        assert version == (given["name"] or default_name([SOURCES[name] for name in chosen], taxonomy))
        for release in chosen.values():
            assert set(given["splits"] or ("train", "val")) <= set(release.splits) or given["datasets"] == "C@coarse"


def test_recipes_need_no_torch():
    code = "import sys; from trainers.recipes import RECIPES; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "False"


def test_the_command_lists_and_shows(capsys):
    assert run(["recipes"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(RECIPES)
    assert run(["recipes", "uncertainty-acdc", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["recipes"]) == 7
    assert run(["recipes", "seethrough-val-no-cpp"]) == 0
    text = capsys.readouterr().out
    assert "crop_width           2048" in text and "photometric          0.5" in text
    assert "no row of the paper: what the CPP losses add" in text and "our reading too: data" in text
    assert run(["recipes", "seethrough", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["commands"][-1] == "unify evaluate runs/seethrough --data cm-cityscapes19"
    assert found["images"] == 8 and found["settings"]["power"] == 2.0
    assert run(["recipes", "nothing"]) == 2


def test_the_page_is_fresh():
    assert PAGE.read_text(encoding="utf-8") == page(cost()), "run `python -m tests.test_recipes`"


if __name__ == "__main__":
    PAGE.write_text(page(cost()), encoding="utf-8")

"""What a recipe is: an experiment of a paper as data, and the commands that repeat it from raw files to scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unify.errors import Problem, UnifyError, error

Value = bool | int | float | str
NOT_RUN = "not run here"
RUNS, RELATIONS = "runs", "out/relations"  #: where the commands put nets, and what is learned from them


@dataclass(frozen=True, slots=True)
class Test:
    """A split of a version to score on, and how: further options of `unify evaluate`."""

    version: str
    split: str = "val"
    options: str = ""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One training of a paper, and how its net is scored.

    name: of the recipe; its net lies in runs/NAME. about: one line. source: paper and table or section.
    data: versions that it learns, keys of `VERSIONS`. tests: what its net is scored on.
    settings: of `trainers.settings`, the method's own among them, where they are not the defaults; batch is that of
        one of the paper's processes. `processes`: GPUs of the paper; an update is of batch * processes images.
    epochs, steps: length; one of them.
    begins_with: the recipe whose weights it begins with; "" for ImageNet's, or none.
    relations: the recipe from whose net its class relations are learned, by the paper's rule; "" for none.
    members: recipes whose nets are asked together how uncertain they are (instance-wise uncertainty).
    control: why it is here, where the paper has no such row: "" for a row of the paper.
    before: further commands that belong before its training.
    reconstruction: settings and fields that are our reading; all others are in `source`, or in the authors' code as
        the module says. measured: our result with its command, or that there is none.
    """

    name: str
    about: str
    method: str
    source: str
    data: tuple[str, ...]
    tests: tuple[Test, ...]
    settings: Mapping[str, Value]
    processes: int = 1
    epochs: float = 0
    steps: int = 0
    begins_with: str = ""
    relations: str = ""
    members: tuple[str, ...] = ()
    control: str = ""
    reconstruction: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    measured: str = NOT_RUN

    @property
    def images(self) -> int:
        """Of an update of the weights."""
        return int(self.settings["batch"]) * int(self.settings.get("accumulate", 1)) * self.processes

    @property
    def length(self) -> str:
        return f"{self.steps:,} steps" if self.steps else f"{self.epochs:g} epochs"

    def to_json(self) -> dict[str, Any]:
        names = ("name", "about", "method", "source", "processes", "epochs", "steps", "begins_with", "relations")
        plain = {name: getattr(self, name) for name in names}
        return {
            **plain,
            "images": self.images,
            "settings": dict(self.settings),
            "data": list(self.data),
            "tests": [{"version": t.version, "split": t.split, "options": t.options} for t in self.tests],
            "members": list(self.members),
            "control": self.control,
            "reconstruction": list(self.reconstruction),
            "measured": self.measured,
        }


#: Version -> the command that builds it. Each takes `--root DIR` besides, or a unify.toml that says where raw data is.
VERSIONS: dict[str, str] = {
    "cibm-union70": "unify build --datasets C,I,B,M@v1.2",
    "cib-union28": "unify build --datasets C,I,B",
    "ibm-union70": "unify build --datasets I,B,M@v1.2",
    "cim-union70": "unify build --datasets C,I,M@v1.2",
    "cbm-union67": "unify build --datasets C,B,M@v1.2",
    "c-cityscapes19": "unify build --datasets C --space cityscapes19",
    "i-idd26": "unify build --datasets I --space idd26",
    "b-cityscapes19": "unify build --datasets B --space cityscapes19",
    "m-mapillary65": "unify build --datasets M@v1.2 --space mapillary65",
    "k-cityscapes19": "unify build --datasets K --space cityscapes19 --split train",
    "w-cityscapes19": "unify build --datasets W --space cityscapes19 --split train",
    "v-camvid11": "unify build --datasets V --space camvid11 --split test",
    "c-cityscapes19-centroids": (
        "unify build --datasets C --space cityscapes19 --centroids --name c-cityscapes19-centroids"
    ),
    "a-cityscapes19": "unify build --datasets A --space cityscapes19",
    "cm-cityscapes19": "unify build --datasets C,M@v1.2 --space cityscapes19 --centroids",
    "coarse": "unify build --datasets C@coarse --space cityscapes19 --split train_extra --centroids --name coarse",
    "p-voc20": "unify build --datasets P@trainaug --space voc20",
    "p-voc21": "unify build --datasets P@trainaug --space voc21",
    "x-context59": "unify build --datasets X --space context59",
    "n-nyu40": "unify build --datasets N --space nyu40 --split train --split test",
}


def values_of(recipe: Recipe, given: Mapping[str, Any], processes: int) -> dict[str, Any]:
    """Settings by name for `trainers.settings.settings_of`: the recipe's, and over them those `given`.

    Args:
        processes: that train here. `accumulate` becomes what keeps the images of an update, unless it is given;
            BatchNorm sees the images of a forward pass only, of all processes, so that fewer processes than the
            paper's are close to it, not equal.

    Raises:
        UnifyError: usage (2) if an update cannot have the recipe's images.
    """
    values = {**recipe.settings, **given}
    if "crop" in given and "crop_width" not in given:
        values.pop("crop_width", None)
    batch = str(values["batch"])
    if "accumulate" not in given and batch.isdecimal() and int(batch):  # of other batches Settings has something to say
        parts, rest = divmod(recipe.images, int(batch) * processes)
        if rest or not parts:
            what = f"an update of {recipe.name} is of {recipe.images} images, not of {processes} x {batch}"
            raise error("usage", "--recipe", what, "choose a --batch that divides it, or --set accumulate=N")
        values["accumulate"] = parts
    return values


def commands(recipe: Recipe, recipes: Mapping[str, Recipe]) -> list[str]:
    """From raw data to scores, each once: build, the recipes that it needs, relations, train, evaluate."""
    lines: dict[str, None] = {}
    versions = dict.fromkeys((*_all_data(recipe, recipes), *(test.version for test in recipe.tests)))
    lines.update(dict.fromkeys(VERSIONS[version] for version in versions))
    lines.update(dict.fromkeys(_training(recipe, recipes)))
    lines.update(dict.fromkeys(_scoring(recipe)))
    return list(lines)


def _all_data(recipe: Recipe, recipes: Mapping[str, Recipe]) -> list[str]:
    needed = [name for other in _needed(recipe) for name in _all_data(recipes[other], recipes)]
    return [*needed, *recipe.data]


def _needed(recipe: Recipe) -> list[str]:
    """Recipes to be run before."""
    names = (recipe.begins_with, recipe.relations, *recipe.members)
    return list(dict.fromkeys(filter(None, names)))


def _training(recipe: Recipe, recipes: Mapping[str, Recipe]) -> list[str]:
    lines = [line for other in _needed(recipe) for line in _training(recipes[other], recipes)]
    if recipe.relations:
        learned = recipes[recipe.relations]
        asked = f"--from-model {net_of(learned)} --data {learned.data[0]} --rule paper"
        lines.append(f"unify relations {asked} -o {RELATIONS}/{learned.name}")
    if recipe.members:
        asked = " ".join(f"--from-model {net_of(recipes[member])}" for member in recipe.members)
        stretched = f" --side {recipe.settings['crop']}" if recipe.settings.get("stretch") else ""
        lines.append(f"unify uncertainty {asked} --data {recipe.data[0]}{stretched}")
    lines += recipe.before
    start = f"torchrun --nproc-per-node {recipe.processes} -m unify" if recipe.processes > 1 else "unify"
    data = " ".join(f"--data {name}" for name in recipe.data)
    line = f"{start} train {recipe.method} --recipe {recipe.name} {data} --out {RUNS}/{recipe.name}"
    if recipe.begins_with:
        line += f" --begin-with {RUNS}/{recipe.begins_with}/ckpt.safetensors"
    if recipe.relations:
        line += f" --relations {RELATIONS}/{recipe.relations}"
    if recipe.members:
        line += f" --weights {recipe.data[0]}-uncertainty"
    return [*lines, line]


def net_of(recipe: Recipe) -> str:
    """The folder of the checkpoint that is used further."""
    return f"{RUNS}/{recipe.name}" + ("/best" if recipe.settings.get("keep_best") else "")


def _scoring(recipe: Recipe) -> list[str]:
    lines = []
    for test in recipe.tests:
        split = "" if test.split == "val" else f" --split {test.split}"
        options = f" {test.options}" if test.options else ""
        lines.append(f"unify evaluate {net_of(recipe)} --data {test.version}{split}{options}")
    return lines


def by_name(*families: tuple[Recipe, ...]) -> dict[str, Recipe]:
    found = {recipe.name: recipe for family in families for recipe in family}
    assert len(found) == sum(map(len, families)), "two recipes of one name"
    return found


def refuse_others(recipe: Recipe, method: str, given: Mapping[str, Any]) -> None:
    """Raises `UnifyError` (usage) for a command that does not fit the recipe, with all that does not."""
    problems = []
    if method != recipe.method:
        what = f"{recipe.name} trains {recipe.method}, not {method}"
        problems.append(Problem("usage", "--recipe", what, "name that method, or another recipe"))
    if recipe.begins_with and not given.get("begin_with"):
        what = f"{recipe.name} begins with the weights of {recipe.begins_with}"
        fix = f"--begin-with {RUNS}/{recipe.begins_with}/ckpt.safetensors, or where they are"
        problems.append(Problem("usage", "--recipe", what, fix))
    if problems:
        raise UnifyError(*problems)

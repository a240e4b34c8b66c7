"""docs/recipes.md, from the recipes."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

from trainers.recipes import PAPERS, RECIPES
from trainers.recipes.recipe import NOT_RUN, Recipe, commands

_HEAD = """# Recipes

Every experiment of the four papers, as data in `trainers/recipes/`. Written by `python -m tests.test_recipes`.

    unify recipes                                  all of them
    unify recipes dropclass-voc-hrnetv2            one: settings, and every command from raw data to scores
    unify train dropclass --recipe dropclass-voc-hrnetv2 --data p-voc20 --out runs/dropclass

Options and `--set` take the place of a recipe's settings. An update has the recipe's images on any number of
processes: with fewer GPUs than the paper's it is done in parts (`accumulate`), and BatchNorm then sees the images of
a part. A try-out on a CPU, of what a recipe does and not of its scores:

    unify train dropclass --recipe dropclass-cityscapes-hrnetv2 --data c-cityscapes19 --out runs/try \\
        --model tiny --set pretrained=false --crop 128 --batch 2 --set accumulate=1 --steps 200

None of them was run at its full size here; what was measured at ours stands in `benchmarks/results/`. "Our reading"
marks settings that neither a paper nor its authors' code gives. Crops are height x width.

## Spread and determinism

`--repeat 10 --random-seed` trains ten times with the seeds s, s + 1, ..., `--repeat 10 --same-seed` ten times with s,
and both print what Tables 2 and 3 of the CPP paper's supplement print: least, greatest, mean, variance and standard
deviation of the mIoU (of the sample, with n - 1). `--sweep aux_weight=0.1:1:0.1` trains with each value of a setting,
its Table 1. Both go on where they were interrupted.

On a CPU the runs of one seed end with the same bits, with any number of workers, as long as torch has the same number
of threads; the command says so, or how many different results there were. On a GPU some operations add in any order:
the paper found a standard deviation of 0.19 to 0.29 % mIoU among ten runs of one seed. `--set deterministic=true`
has torch take operations without that, and cuBLAS too (`CUBLAS_WORKSPACE_CONFIG`, unless you set it yourself). Of
what torch refuses then on a GPU, cross-entropy of maps and pooling in bins are computed in another way; anything else
ends the run with the operation's name. On a GPU it was not tried here. On a CPU it costs {cost}
(`python -m benchmarks.deterministic`).
"""


def page(cost: str) -> str:
    """cost: of deterministic mode, as words."""
    parts = [_HEAD.format(cost=cost)]
    for module in PAPERS.values():
        parts += _paper(module)
    return "\n".join(parts)


def _paper(module: ModuleType) -> Iterator[str]:
    title, _, about = (module.__doc__ or "").partition("\n\n")
    yield f"## {title.partition(': ')[0]}\n\n{title}\n\n{about}"
    rows: tuple[Recipe, ...] = module.recipes()
    yield "| recipe | method | net | images | lr | weight decay | crop | length | for, result |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for recipe in rows:
        yield "| " + " | ".join(_cells(recipe)) + " |"
    whole = max(rows, key=lambda recipe: (not recipe.control, len(commands(recipe, RECIPES)), recipe.method != "ce"))
    lines = "\n".join(f"    {line}" for line in commands(whole, RECIPES))
    yield f"\nFrom raw data to scores, `{whole.name}`:\n\n{lines}\n"
    yield f"Our reading: {_readings(rows)}.\n"


def _cells(recipe: Recipe) -> list[str]:
    settings = recipe.settings
    crop = f"{settings['crop']}x{settings.get('crop_width', settings['crop'])}"
    figures = [str(recipe.images), f"{settings['lr']:g}", f"{settings['weight_decay']:g}", crop, recipe.length]
    told = [text for text in (recipe.control, recipe.measured) if text not in ("", NOT_RUN)]
    return [f"`{recipe.name}`", recipe.method, str(settings["model"]), *figures, "; ".join(told)]


def _readings(rows: tuple[Recipe, ...]) -> str:
    return ", ".join(f"`{name}`" for name in dict.fromkeys(name for row in rows for name in row.reconstruction))

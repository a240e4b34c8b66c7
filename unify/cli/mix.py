"""`unify mix`: what a mixture draws from some versions, and how often."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unify.cli.options import json_option
from unify.cli.show import counted, json_line, size, table

if TYPE_CHECKING:
    from unify.draws.mixtures import Mixture, Part, Schedule, Select, Tally
    from unify.draws.samplers import Epoch, Value

_RAREST = 8  #: classes that are printed; --json has all


@click.command("mix", short_help="Draw epochs of a mixture of versions.")
@click.argument("name", required=False, metavar="[NAME|FILE]")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--list", "list_them", is_flag=True, help="List the mixtures, the samplers and their options.")
@click.option("--epochs", type=click.IntRange(1), default=1, show_default=True, help="How many to draw.")
@click.option("--length", type=click.IntRange(1), help="Draws in an epoch; by default what the mixture says.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of everything random.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="An option of the mixture's samplers. Repeatable."
)
@click.option("--root", default="out", show_default=True, help="Where versions given by name lie.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the draws, in order: a Parquet file, for any trainer.",
)
@json_option
def mix_command(
    name: str | None,
    paths: tuple[str, ...],
    list_them: bool,
    epochs: int,
    length: int | None,
    seed: int,
    settings: tuple[str, ...],
    root: str,
    output: Path | None,
    as_json: bool,
) -> None:
    """Draw epochs of a mixture from one or several versions of one label space, and say what they hold.

    The same versions, mixture and seed give the same draws on every machine. Effective epochs say how often each
    image of a part was drawn, on average. Sources that one version cannot hold together, such as Cityscapes fine
    and coarse, are versions of their own: give all of them.

    A mixture of your own is a file in place of NAME:

    \b
      length: 3000                            # draws in an epoch
      parts:
        - {source: cityscapes, release: fine, splits: [train, val], share: 0.6}
        - {source: mapillary, share: 0.4, sampler: class-uniform, options: {class_share: 0.5}}

    \b
    Example:
      unify mix seethroughnet cm-cityscapes19 coarse --epochs 175 -o draws.parquet
      unify mix mine.yaml cibm-union70 --seed 7
    """
    from unify.errors import error

    if list_them:
        _print_list(as_json)
        return
    if name is None or not paths:
        raise click.UsageError("Give a mixture and at least one version, or --list.")
    from unify.artifact import locate
    from unify.draws.index import build_index
    from unify.draws.mixturefile import mixture_named
    from unify.draws.mixtures import draw_epoch, draws_file, schedule, tally, with_options

    if output and output.suffix.lower() != ".parquet":
        raise error("usage", output, "is not the name of a Parquet file", "end it in .parquet")
    mixture = mixture_named(name)
    if settings:
        mixture = with_options(mixture, dict(map(_setting, settings)))
    plan = schedule(mixture, build_index([locate(path, root) for path in paths]), length)
    drawn: list[Tally] = []

    def draw() -> Iterator[Epoch]:
        for number in range(epochs):
            epoch = draw_epoch(plan, seed, number)
            counts = tally(plan, epoch)
            drawn[:] = [drawn[0] + counts] if drawn else [counts]
            yield epoch

    if output:
        from unify import storage

        written = storage.write_file(output, draws_file(plan, seed, draw()))[0]
    else:
        written = 0
        for _ in draw():
            pass
    if as_json:
        json_line(_plain(plan, drawn[0], epochs, seed, output))
        return
    _print(plan, drawn[0], epochs, seed)
    if output:
        click.echo(f"\n{output}: {counted(epochs * plan.length, 'draw')}, {size(written)}")


def _setting(text: str) -> tuple[str, Value]:
    key, equals, value = text.partition("=")
    if key and equals:
        if value.lower() in ("true", "false"):
            return key, value.lower() == "true"
        try:
            return key, float(value)
        except ValueError:
            pass
    raise click.UsageError(f"--set: '{text}' is not KEY=VALUE, with a number, true or false.")


# --- What is printed ----------------------------------------------------------------------------------------


def _print_list(as_json: bool) -> None:
    from unify.draws.mixtures import MIXTURES
    from unify.draws.samplers import SAMPLERS

    if as_json:
        mixtures = {
            m.name: {"about": m.about, "length": _length(m), "parts": [_recipe(p) for p in m.parts]}
            for m in MIXTURES.values()
        }
        samplers = {
            name: {"about": s.about, "options": {key: option.default for key, option in s.options.items()}}
            for name, s in SAMPLERS.items()
        }
        json_line({"mixtures": mixtures, "samplers": samplers})
        return
    table(["mixture", "what it is"], [(m.name, m.about) for m in MIXTURES.values()])
    click.echo()
    table(["sampler", "what it draws"], [(name, s.about) for name, s in SAMPLERS.items()])
    click.echo()
    rows = [
        (name, key, _shown(option.default), option.about)
        for name, s in SAMPLERS.items()
        for key, option in s.options.items()
    ]
    table(["sampler", "option", "default", "what it is"], rows)


def _recipe(part: Part) -> dict[str, object]:
    rest = {"share": part.share, "sampler": part.sampler, "options": dict(part.options)}
    return {"name": part.name, **_select(part.select), **rest}


def _select(select: Select) -> dict[str, object]:
    return {"source": select.source, "release": select.release, "splits": list(select.splits)}


def _length(mixture: Mixture) -> object:
    """Draws in an epoch, or the images that they are as many as; None: as many as show each image once, mostly."""
    length = mixture.length
    return length if length is None or isinstance(length, int) else _select(length)


def _shown(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"


def _by_rarity(plan: Schedule) -> tuple[list[int], list[int]]:
    """Ids of the classes that the parts' images show, the one in the fewest images first; and images of each class."""
    import numpy as np

    images = plan.index.present[plan.source >= 0].sum(axis=0)
    return [int(k) for k in np.argsort(images, kind="stable") if images[k]], images.tolist()


def _plain(plan: Schedule, drawn: Tally, epochs: int, seed: int, output: Path | None) -> dict[str, Any]:
    """All counts are over all epochs drawn."""
    from unify.draws.mixtures import effective_epochs, effective_epochs_of_parts

    _, images = _by_rarity(plan)
    of_parts = effective_epochs_of_parts(plan, drawn)
    targeted, seen = drawn.targeted.sum(axis=0).tolist(), drawn.seen.sum(axis=0).tolist()
    return {
        "mixture": plan.mixture.name,
        "seed": seed,
        "epochs": epochs,
        "length": plan.length,
        "versions": [
            {"path": str(v.path), "name": v.name, "version": v.version, "digest": v.digest} for v in plan.index.versions
        ],
        "space": plan.index.space,
        "parts": [
            _recipe(bound.part)
            | {
                "options": dict(bound.options),
                "images": len(bound.rows),
                "share": bound.draws / plan.length,
                "draws_per_epoch": bound.draws,
                "effective_epochs": of_parts[bound.part.name],
                "classes": int((drawn.seen[i] > 0).sum()),
            }
            for i, bound in enumerate(plan.parts)
        ],
        "sources": [
            {"source": name, "images": int(plan.images[i]), "draws": int(drawn.sources[i]), "effective_epochs": value}
            for i, (name, value) in enumerate(effective_epochs(plan, drawn).items())
        ],
        "classes": [
            {"id": k, "class": name, "images": images[k], "targeted": targeted[k], "seen": seen[k]}
            for k, name in enumerate(plan.index.classes)
        ],
        "output": str(output) if output else None,
    }


def _print(plan: Schedule, drawn: Tally, epochs: int, seed: int) -> None:
    from unify.draws.mixtures import effective_epochs, effective_epochs_of_parts

    index = plan.index
    names = ", ".join(f"{v.name} {v.version}" for v in index.versions)
    drew = f"{counted(plan.length, 'draw')} an epoch, {counted(epochs, 'epoch')}, seed {seed}"
    click.echo(f"{plan.mixture.name} of {names}: {drew}\n")
    after = "effective epochs"
    of_parts = effective_epochs_of_parts(plan, drawn)
    rows = [
        (
            bound.part.name,
            bound.part.sampler,
            len(bound.rows),
            f"{100 * bound.draws / plan.length:.1f} %",
            bound.draws,
            round(of_parts[bound.part.name], 2),
            int((drawn.seen[i] > 0).sum()),
        )
        for i, bound in enumerate(plan.parts)
    ]
    table(["part", "sampler", "images", "share", "draws an epoch", after, "classes"], rows)
    if len(plan.sources) > 1:
        effective = effective_epochs(plan, drawn)
        click.echo()
        table(
            ["source", "images", "draws an epoch", after],
            [
                (name, int(plan.images[i]), round(int(drawn.sources[i]) / epochs, 1), round(effective[name], 2))
                for i, name in enumerate(plan.sources)
            ],
        )
    ids, images = _by_rarity(plan)
    targeted, seen = drawn.targeted.sum(axis=0), drawn.seen.sum(axis=0)
    click.echo()
    table(
        ["class, rarest first", "images", "aimed at, an epoch", "shown, an epoch"],
        [
            (index.classes[k], images[k], round(int(targeted[k]) / epochs, 1), round(int(seen[k]) / epochs, 1))
            for k in ids[:_RAREST]
        ],
    )
    rest = len(ids) - _RAREST
    absent = len(index.classes) - len(ids)
    for number, what in ((rest, "shown by more images (--json lists all)"), (absent, "shown by no image here")):
        if number > 0:
            click.echo(f"{number} more of the {len(index.classes)} classes {'is' if number == 1 else 'are'} {what}")

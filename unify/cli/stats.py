"""`unify stats`: how often each class occurs, with which others, beside which."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unify.cli.options import json_option
from unify.cli.show import json_line, progress, table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from unify.artifact import Artifact
    from unify.stats import Counts, Group
    from unify.taxonomy import Taxonomy

_PICTURES = (".png", ".jpg", ".jpeg")
_DIGITS = {"images": 1, "pixels": 3}  #: of a percentage
_LISTED = 3  #: companions and neighbours of a class that a table has room for


@click.command("stats", short_help="Count pixels and images per class.")
@click.argument("path")
@click.option("--root", default="out", show_default=True, help="Where versions given by name lie.")
@click.option("--source", "sources", multiple=True, metavar="NAME", help="Only this source. Repeatable.")
@click.option("--split", "splits", multiple=True, metavar="NAME", help="Only this split. Repeatable.")
@click.option("--per-source", is_flag=True, help="A column per source instead of their sum.")
@click.option(
    "--by", type=click.Choice(["images", "pixels"]), default="images", show_default=True, help="What frequency counts."
)
@click.option(
    "--order", type=click.Choice(["rising", "falling", "id"]), default="rising", show_default=True, help="Of classes."
)
@click.option("--weights", is_flag=True, help="Class weights in three inverse-frequency forms.")
@click.option("--cooccurrence", is_flag=True, help="Which classes share images.")
@click.option("--adjacency", is_flag=True, help="Which classes share borders. Decodes every label.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path, dir_okay=False), help="Also write a CSV file.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also draw a bar chart: a PNG or JPEG file.",
)
@json_option
def stats_command(
    path: str,
    root: str,
    sources: tuple[str, ...],
    splits: tuple[str, ...],
    per_source: bool,
    by: str,
    order: str,
    weights: bool,
    cooccurrence: bool,
    adjacency: bool,
    csv_file: Path | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Pixels and images per class, from the version's own counts: no image is decoded.

    --json and --csv hold every source and split, and their sums under the name "all", in the order of
    ids; --json also the orders, weights and co-occurrence. Instances are there for versions built with
    --instances, and count in the sources that tell things of one class apart.

    \b
    Example:
      unify stats cibm-union70 --split train --by pixels --weights
      unify stats out/cibm-union70/1.0.0 --per-source -o classes.png
    """
    from unify import stats, storage
    from unify.artifact import locate
    from unify.errors import error

    if output and output.suffix.lower() not in _PICTURES:
        raise error("usage", output, "is not the name of a PNG or JPEG file", f"end it in {' or '.join(_PICTURES)}")
    artifact = locate(path, root)
    parts = stats.chosen_parts(artifact.manifest, sources, splits)
    images = sum(artifact.manifest.sources[source]["splits"][split] for source, split in parts)
    with progress("adjacency", images, "labels", quiet=as_json or not adjacency) as advance:
        groups = stats.statistics(artifact, parts, with_adjacency=adjacency, advance=advance)
    ids = _ids(groups[0], by, order)
    plain = [_plain(group, artifact.taxonomy) for group in groups] if as_json or csv_file else []
    if as_json:
        facts = {name: getattr(artifact.manifest, name) for name in ("name", "version", "digest", "space")}
        json_line({"path": str(artifact.path), **facts, "groups": plain})
    else:
        _print_tables(
            artifact, groups, ids=ids, by=by, per_source=per_source, weights=weights, cooccurrence=cooccurrence
        )
    if csv_file:
        storage.write_file(csv_file, _csv(plain))
    if output:
        from unify.report.draw import encode
        from unify.report.frequencies import frequency_chart

        chart = frequency_chart(_title(artifact), groups, artifact.taxonomy, ids=ids, by=by, per_source=per_source)
        storage.write_file(output, encode(chart, output.suffix))


def _title(artifact: Artifact) -> str:
    return f"{artifact.manifest.name} {artifact.manifest.version}"


def _ids(group: Group, by: str, order: str) -> list[int]:
    """The annotated classes in the order asked for, equal ones by id."""
    import numpy as np

    from unify import stats

    values = group.counts.of_classes(by)
    ids = {"rising": stats.rising(values), "falling": stats.rising(-values), "id": np.arange(len(values))}[order]
    return [int(i) for i in ids if group.counts.annotated[i]]


# --- Tables -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Column:
    head: str
    cells: list[str]
    is_number: bool = True

    def padded(self) -> tuple[str, list[str]]:
        if not self.is_number:
            return self.head, self.cells
        width = max(map(len, [self.head, *self.cells]))
        return self.head.rjust(width), [cell.rjust(width) for cell in self.cells]


def _print_columns(*columns: _Column) -> None:
    padded = [column.padded() for column in columns]
    table([head for head, _ in padded], list(zip(*(cells for _, cells in padded), strict=True)))


def _print_tables(
    artifact: Artifact,
    groups: Sequence[Group],
    *,
    ids: Sequence[int],
    by: str,
    per_source: bool,
    weights: bool,
    cooccurrence: bool,
) -> None:
    """`ids`: the classes to show, in order. The first group is that of everything."""
    from unify import stats

    taxonomy, whole = artifact.taxonomy, groups[0]
    names, n = taxonomy.space.names, len(taxonomy.space)
    rarer = stats.least_frequent_half(whole.counts.of_classes(by))
    name_column = _Column("class", [f"{names[i]} †" if rarer[i] else names[i] for i in ids], is_number=False)

    def frequency_columns(codes: Sequence[int]) -> list[_Column]:
        if per_source:
            return _source_columns(groups, codes, by)
        return _frequency_columns(whole.counts, codes, with_counts=not weights)

    for line in _head(artifact, groups):
        click.echo(line)
    click.echo()
    weight_columns = _weight_columns(whole.counts, ids) if weights else []
    _print_columns(_Column("id", list(map(str, ids))), name_column, *frequency_columns(ids), *weight_columns)

    apart = range(n, n + len(taxonomy.sets) + 1)
    apart_ids = _Column("id", [*map(str, apart[:-1]), str(taxonomy.space.void)])
    apart_names = _Column("no single class", [*map(" | ".join, taxonomy.sets), "void"], is_number=False)
    click.echo()
    _print_columns(apart_ids, apart_names, *frequency_columns(apart))

    if cooccurrence:
        click.echo(
            "\nShown together: % of the class's images that show the other (+ how much more than of all images)\n"
        )
        images = _Column("images", [f"{whole.counts.images[i]:,}" for i in ids])
        _print_columns(name_column, images, _Column("most of all with", _companions(whole.counts, ids, names), False))
    if whole.borders is not None:
        click.echo("\nSide by side: % of the class's borders that are with the other\n")
        sides = _Column("pixel sides", [f"{whole.borders[i].sum():,}" for i in ids])
        _print_columns(name_column, sides, _Column("most of all with", _neighbors(whole.borders, ids, names), False))

    click.echo()
    if rarer.any():
        click.echo(f"† the less frequent half of the classes that occur, by {by}")
    if whole.counts.instances is not None and not (per_source or weights):
        known = [g.source for g in groups if g.split == stats.ALL != g.source and g.counts.instances is not None]
        click.echo(f"instances: of {', '.join(known)}")
    if weights:
        click.echo(
            "inverse: 1/f, mean 1. median: median(f)/f, in the class's images. enet: 1/ln(1.02 + f). f by pixels"
        )
    if len(ids) < n:
        click.echo(f"{n - len(ids)} of the {n} classes of {taxonomy.space.name} are annotated by no source here")


def _head(artifact: Artifact, groups: Sequence[Group]) -> Iterator[str]:
    from unify import stats

    whole, spread = groups[0], stats.variety(groups[0].counts)
    splits = [f"{g.split} {g.counts.num_images:,}" for g in groups if g.source == stats.ALL != g.split]
    sources = [g.source for g in groups if g.split == stats.ALL != g.source]
    yield f"{_title(artifact)}: {whole.counts.num_images:,} images ({', '.join(splits)}) of {', '.join(sources)}"
    yield (
        f"classes per image: {spread.mean:.1f} on average, {spread.median:g} at the median, "
        f"{spread.min} to {spread.max}"
    )


def _frequency_columns(counts: Counts, codes: Sequence[int], with_counts: bool) -> list[_Column]:
    from unify import stats

    columns = []
    for by, values in (("images", counts.images), ("pixels", counts.pixels)):
        share = stats.SHARES[by](counts)
        if with_counts:
            columns.append(_Column(by, [f"{values[i]:,}" for i in codes]))
        columns.append(_Column(f"% of {by}", [_percent(share[i], by) for i in codes]))
    if with_counts and counts.instances is not None:
        columns.append(_Column("instances", [f"{counts.instances[i]:,}" for i in codes]))
    return columns


def _source_columns(groups: Sequence[Group], codes: Sequence[int], by: str) -> list[_Column]:
    from unify import stats

    columns = []
    for group in groups:
        if group.split == stats.ALL and group.source != stats.ALL:
            share = stats.SHARES[by](group.counts)
            absent = set((~group.counts.annotated).nonzero()[0].tolist())
            cells = ["-" if i in absent else _percent(share[i], by) for i in codes]
            columns.append(_Column(f"{group.source} %", cells))
    return columns


def _weight_columns(counts: Counts, ids: Sequence[int]) -> list[_Column]:
    from unify import stats

    weights = {name: weigh(counts) for name, weigh in stats.WEIGHTS.items()}
    return [_Column(name, [_three_digits(values[i]) for i in ids]) for name, values in weights.items()]


def _companions(counts: Counts, ids: Sequence[int], names: Sequence[str]) -> list[str]:
    """For each class the others that its images show more often than one would expect, the furthest above first."""
    from unify import stats

    share = stats.company(counts)
    more = share - stats.expected_company(counts)
    lines = []
    for i in ids:
        best = [j for j in (-more[i]).argsort(kind="stable") if j != i and more[i, j] >= 0.005][:_LISTED]
        lines.append(", ".join(f"{names[j]} {100 * share[i, j]:.0f} (+{100 * more[i, j]:.0f})" for j in best))
    return lines


def _neighbors(borders: NDArray[np.int64], ids: Sequence[int], names: Sequence[str]) -> list[str]:
    """For each class the three others with which it has the longest borders."""
    from unify import stats

    share = stats.neighborhood(borders)
    lines = []
    for i in ids:
        best = [j for j in (-share[i]).argsort(kind="stable") if share[i, j] > 0][:_LISTED]
        lines.append(", ".join(f"{names[j]} {100 * share[i, j]:.0f}" for j in best))
    return lines


def _three_digits(value: float) -> str:
    """12345.678 → "12,346", 0.00012345 → "0.000123"."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _percent(share: float, by: str) -> str:
    """0.01234 → "1.2" of images, "1.234" of pixels; what would round to 0 but is not 0 → "<0.1", "<0.001"."""
    digits = _DIGITS[by]
    text = f"{100 * share:.{digits}f}"
    return f"<{10**-digits:.{digits}f}" if share > 0 and float(text) == 0 else text


# --- Files --------------------------------------------------------------------------------------------------


def _plain(group: Group, taxonomy: Taxonomy) -> dict[str, Any]:
    """Everything there is to say about a group, in plain types. Lists over classes are in the order of their ids.

    `cooccurrence` is `Counts.together`, `adjacency` is there if it was counted, and `instances` of a class where
    they are known. Orders and halves are lists of ids of the classes that occur.
    """
    from unify import stats

    counts = group.counts
    n = counts.num_classes
    shares = {"pixel_share": stats.pixel_share(counts), "image_share": stats.image_share(counts)}
    frequencies = {"pixel_frequency": stats.pixel_frequency(counts), "image_frequency": stats.image_frequency(counts)}
    codes: list[dict[str, Any]] = [
        {"pixels": int(counts.pixels[i]), "images": int(counts.images[i])}
        | ({} if counts.instances is None else {"instances": int(counts.instances[i])})
        | {name: float(values[i]) for name, values in shares.items()}
        for i in range(len(counts.pixels))
    ]
    classes = [
        {"id": i, "class": name, "annotated": bool(counts.annotated[i])}
        | codes[i]
        | {key: float(values[i]) for key, values in frequencies.items()}
        for i, name in enumerate(taxonomy.space.names)
    ]
    by = {name: counts.of_classes(name) for name in stats.SHARES}
    found: dict[str, Any] = {
        "source": group.source,
        "split": group.split,
        "images": counts.num_images,
        "pixels": int(counts.pixels.sum()),
        "classes_per_image": dataclasses.asdict(stats.variety(counts)),
        "classes": classes,
        "sets": [{"id": n + i, "classes": list(names)} | codes[n + i] for i, names in enumerate(taxonomy.sets)],
        "void": {"id": taxonomy.space.void} | codes[-1],
        "rising": {name: [int(k) for k in stats.rising(values) if values[k] > 0] for name, values in by.items()},
        "least_frequent_half": {
            name: stats.least_frequent_half(values).nonzero()[0].tolist() for name, values in by.items()
        },
        "weights": {name: weigh(counts).tolist() for name, weigh in stats.WEIGHTS.items()},
        "cooccurrence": counts.together.tolist(),
    }
    if group.borders is not None:
        found["adjacency"] = group.borders.tolist()
    return found


def _csv(groups: Sequence[dict[str, Any]]) -> bytes:
    """A row per group and code, of what `_plain` gave; fields that only classes have are empty for sets and void."""
    rows = []
    for group in groups:
        head = {"source": group["source"], "split": group["split"]}
        for row in group["classes"]:
            weights = {f"weight_{name}": values[row["id"]] for name, values in group["weights"].items()}
            rows.append(head | row | weights)
        rows += [head | row | {"class": " | ".join(row["classes"])} for row in group["sets"]]
        rows.append(head | group["void"] | {"class": "void"})
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()

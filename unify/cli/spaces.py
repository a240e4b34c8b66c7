"""`unify spaces`: the label spaces there are, and how the sources map into them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unify.cli.options import json_option, mappings_option, variant_option
from unify.cli.show import json_line, table
from unify.errors import UnifyError

if TYPE_CHECKING:
    from unify.mapping import Variant
    from unify.taxonomy import Taxonomy


@click.command("spaces", short_help="List the label spaces, or show one.")
@click.argument("name", required=False)
@click.option(
    "--datasets",
    metavar="C,I,B,M",
    help="Show the naive union of these datasets, by letter or name (M@v2.0 picks a release).",
)
@variant_option
@click.option("--project", metavar="TARGET", help="What a net that answers in NAME is scored by in this space.")
@click.option("--sssom", metavar="SOURCE", help="Print the mapping from this space to NAME as SSSOM (TSV).")
@click.option("--check", is_flag=True, help="Validate every file and list all that is wrong (exit 78).")
@mappings_option
@json_option
@click.pass_context
def spaces(
    ctx: click.Context,
    name: str | None,
    datasets: str | None,
    variants: tuple[str, ...],
    project: str | None,
    sssom: str | None,
    check: bool,
    mappings: Path | None,
    as_json: bool,
) -> None:
    """List the label spaces, or show one: classes, raw ids of each source, who annotates what, and variants.

    A variant is another reading of a table that can be read in two ways; with --variant, what it changes is
    shown first. --project shows, class by class, which classes of NAME count for those of a test set.

    \b
    Example:
      unify spaces
      unify spaces union70
      unify spaces cityscapes19 --variant wilddash-policy
      unify spaces union70 --project camvid11
      unify spaces --datasets C,I --json
    """
    if (name is not None) + (datasets is not None) + check > 1:
        raise click.UsageError("Use just one of NAME, --datasets and --check.")
    if name is None and (project or sssom):
        raise click.UsageError("--project and --sssom need a NAME.")
    if (project is not None) + (sssom is not None) > 1 or (project and variants):
        raise click.UsageError("Use just one of --project and --sssom, and --project without --variant.")
    if variants and name is None and datasets is None:
        raise click.UsageError("--variant needs a NAME or --datasets.")
    search = (mappings,) if mappings else ()
    if check:
        ctx.exit(_check(search, as_json))
    elif project is not None:
        _project(str(name), project, search, as_json)
    elif sssom is not None:
        _print_sssom(sssom, str(name), variants, search)
    elif name is not None or datasets is not None:
        taxonomy, known = _one(name, search, variants) if name is not None else _union(str(datasets), search, variants)
        if as_json:
            json_line({**taxonomy.overview(), **_variants_json(known)})
        else:
            _print(taxonomy, known)
    else:
        _list(search, as_json)


def _check(search: tuple[Path, ...], as_json: bool) -> int:
    """Print every problem of every file; the exit code."""
    from unify.mapping import validate_all

    try:
        validate_all(search)
    except UnifyError as e:
        facts = [{"kind": p.kind, "path": p.path, "what": p.what, "fix": p.fix} for p in e.problems]
        if as_json:
            json_line({"ok": False, "problems": facts})
        else:
            for problem in e.problems:
                click.echo(f"unify: {problem}", err=True)
        return e.exit_code
    json_line({"ok": True, "problems": []}) if as_json else click.echo("All label spaces and mappings are sound.")
    return 0


Known = dict[str, dict[str, "Variant"]]  #: source → name → variant


def _one(name: str, search: tuple[Path, ...], variants: Sequence[str]) -> tuple[Taxonomy, Known]:
    from unify.mapping import load_variant, variant_names
    from unify.taxonomy import taxonomy_of

    taxonomy = taxonomy_of(name, search, variants)
    return taxonomy, {
        source: {v: load_variant(source, name, v, search) for v in variant_names(source, name, search)}
        for source in taxonomy.sources
    }


def _union(datasets: str, search: tuple[Path, ...], variants: Sequence[str]) -> tuple[Taxonomy, Known]:
    """The naive union of the datasets' training spaces; of a dataset without a release, its first."""
    from unify.mapping import load_variant, variant_names
    from unify.roots import parse_datasets
    from unify.sources import SOURCES
    from unify.taxonomy import taxonomy_for

    wanted = [(SOURCES[w.source].releases, w.release) for w in parse_datasets(datasets)]
    chosen = [releases[release or next(iter(releases))] for releases, release in wanted]
    train = {release.space: release.train_space for release in chosen}
    taxonomy = taxonomy_for({raw: raw for raw in train}, train, search=search, variants=variants)
    return taxonomy, {
        raw: {v: load_variant(raw, end, v, search) for v in variant_names(raw, end, search)}
        for raw, end in train.items()
    }


def _variants_json(known: Known) -> dict[str, object]:
    """Nothing where no source has variants."""
    shown = {
        source: {
            name: {"why": v.why, "reference": v.reference, "rules": {raw: list(rule) for raw, rule in v.rules.items()}}
            for name, v in variants.items()
        }
        for source, variants in known.items()
        if variants
    }
    return {"known_variants": shown} if shown else {}


def _project(name: str, target: str, search: tuple[Path, ...], as_json: bool) -> None:
    from unify.projection import by_name
    from unify.spaces import load_space

    projection = by_name(load_space(name, search), load_space(target, search), search)
    space, end = projection.source, projection.target
    if as_json:
        facts = {"from": space.name, "to": end.name, "members": {n: list(m) for n, m in projection.members.items()}}
        json_line({**facts, "missing": list(projection.missing), "unused": list(projection.unused)})
        return
    click.echo(f"{space.name} to {end.name}: {len(projection.scored)} of {len(end)} classes have a counterpart")
    click.echo()
    rows = [(c.id, c.name, ", ".join(projection.members[c.name]) or "- (no score)") for c in end.classes]
    table(("id", "class", f"counts in {space.name}"), rows)


def _print_sssom(source: str, target: str, variants: Sequence[str], search: tuple[Path, ...]) -> None:
    from unify.importers import sssom_tsv
    from unify.mapping import load_mapping

    mapping = load_mapping(source, target, search, variants)
    click.echo(sssom_tsv(mapping), nl=False)


def _list(search: tuple[Path, ...], as_json: bool) -> None:
    from unify.mapping import mapped_spaces
    from unify.spaces import aliases, load_space, space_names

    known = [(load_space(name, search), mapped_spaces(name, search)) for name in space_names(search)]
    others = aliases(search)
    if as_json:
        rows = [{"name": s.name, "classes": len(s), "title": s.title, "sources": list(m)} for s, m in known]
        json_line([*rows, *({"name": a.name, "alias_of": a.space, "title": a.why} for a in others.values())])
    else:
        table(("space", "classes", "title", "mapped from"), [(s.name, len(s), s.title, ", ".join(m)) for s, m in known])
        click.echo("\nOther names:")
        table(("name", "is", "why"), [(a.name, a.space, a.why) for a in others.values()])


def _print(taxonomy: Taxonomy, known: Known) -> None:
    """Classes with a column for each source that annotates some, each source's raw ids, and its variants.

    What the chosen variants change stands first.
    """
    space, names = taxonomy.space, taxonomy.sources
    click.echo(f"{space.name}: {len(space)} classes, void {space.void}")
    for line in (space.title, space.reference):
        if line:
            click.echo(f"  {line}")
    for source, mapping in taxonomy.mappings.items():
        for chosen in (known[source][name] for name in mapping.variants):
            _print_variant(source, chosen)
    click.echo()
    marks = taxonomy.null_mask.T
    table(
        ("id", "class", "color", *names),
        [
            (c.id, c.name, "#{:02x}{:02x}{:02x}".format(*c.color), *("x" if m else "" for m in row))
            for c, row in zip(space.classes, marks, strict=True)
        ],
    )
    if taxonomy.sets:
        click.echo("\nSets, where a source does not tell classes apart:")
        first = len(space)
        table(("id", "one of"), [(first + i, ", ".join(rule)) for i, rule in enumerate(taxonomy.sets)])
    for name, mapping in taxonomy.mappings.items():
        click.echo(f"\n{name}: {len(mapping.source)} raw ids")
        codes = taxonomy.table(name)
        table(
            ("raw id", "raw class", "id", "class"),
            [(c.id, c.name, int(codes[c.id % 256]), _text(mapping.rules[c.name])) for c in mapping.source.classes],
        )
    rows = [(name, source, len(v.rules), v.why) for source, found in known.items() for name, v in found.items()]
    if rows:
        click.echo("\nVariants (--variant NAME shows one):")
        table(("variant", "of", "rules", "why"), rows)


def _print_variant(source: str, variant: Variant) -> None:
    click.echo(f"\n{source} --variant {variant.name}: {variant.why}")
    click.echo(f"  {variant.reference}")
    before = variant.base.rules
    texts = [(raw, _text(before[raw]), _text(rule)) for raw, rule in variant.rules.items()]
    table(("raw class", "without it", "with it"), texts)


def _text(rule: tuple[str, ...]) -> str:
    return " | ".join(rule) or "void"

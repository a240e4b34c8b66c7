"""From one label space to another: what is built, without its raw files.

Going by the raw space is best: the new version is then, byte for byte, what a build would give. It can be done
where native ids are stored, or where no two raw classes that are one class now have to become different ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unify import centroids, codecs, cpp, instances
from unify.artifact import Artifact
from unify.commit import Job
from unify.derive import Record, Step, Task, derivation, samples_of
from unify.errors import Problem, UnifyError, error
from unify.mapping import Mapping as Rules
from unify.mapping import (
    Rule,
    check_variants,
    compose,
    load_mapping,
    mapped_spaces,
    rule_codes,
    rule_text,
    variant_names,
)
from unify.plan import default_name
from unify.rows import count_codes
from unify.sources import SOURCES, InstanceFiles, Source
from unify.spaces import VOID, LabelSpace, attempt, counted, load_space, quoted
from unify.taxonomy import Taxonomy, known_variants, taxonomy_for

NATIVE = "label_source"  #: the column of the sources' own ids


@dataclass(frozen=True, slots=True)
class Route:
    """How a source's labels get to the new space: what is read, and (256,) uint8, what its values become."""

    column: str  # "label" or `NATIVE`
    table: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Relabel:
    """The row function of a conversion. Instances, centroids and pooled labels are taken anew where there are any."""

    routes: Mapping[str, Route]  # by source
    codes: int  # classes and sets of the new space
    classes: int
    things: Mapping[str, tuple[InstanceFiles, NDArray[np.uint8]]]  # by source; (256,), raw id → new code

    def __call__(self, source: str, record: Record) -> Record:
        route = self.routes[source]
        data = record.label if route.column == "label" else record.optional[route.column]
        assert isinstance(data, bytes), "an image column without nulls"
        height, width = record.size_hw
        png, counts = codecs.relabel_png(data, route.table, max_pixels=height * width)
        optional = dict(record.optional)
        instance = optional.get(instances.COLUMN)
        if isinstance(instance, bytes):
            optional[instances.COUNT] = self._count_instances(source, instance, height * width)
        count = count_codes(counts, route.table, self.codes)
        scales = cpp.scales_in(optional)
        if centroids.COLUMNS[0] in optional or scales:
            ids_hw = codecs.read_label(data, max_pixels=height * width).astype(np.uint8, copy=False)
            if centroids.COLUMNS[0] in optional:
                optional |= centroids.centroids(ids_hw, route.table, self.classes).columns()
            optional |= cpp.stacked(ids_hw, route.table, count, scales)
        return dataclasses.replace(record, label=png, pixel_count=count, optional=optional)

    def _count_instances(self, source: str, png: bytes, max_pixels: int) -> tuple[int, ...]:
        if source not in self.things:
            what = "has instances, but how it numbers them is not known here"
            raise error("unknown-dataset", source, what, "convert with the unify that built the version")
        files, table = self.things[source]
        values = instances.read_instances(png, max_pixels=max_pixels).values
        return instances.count_instances(values, files, table, self.codes)


def conversion(
    parent: Artifact,
    space: str,
    *,
    variants: Sequence[str] = (),
    name: str | None = None,
    search: Sequence[Path] = (),
    sources: Mapping[str, Source] = SOURCES,
) -> Job[Task]:
    """The job that maps `parent` onward to the label space `space`, for `commit`.

    Args:
        variants: other readings of the mapping tables; each is used for all sources that have it.
        name: of the new version; by default letters and space, as of a build.
        search: further folders of spaces and mappings.
        sources: what the names of sources mean, for their training spaces.

    Raises:
        UnifyError: usage (no such space or variant, or it is the parent's own); bad-mapping (78) with every
            class that makes it impossible.
    """
    target = load_space(space, search)
    old = parent.taxonomy
    is_there = error(
        "usage",
        "",
        f"{parent.manifest.name} {parent.manifest.version} is in {target.name}{old.suffix} already",
        "choose another --space, or a --variant",
    )
    if target == old.space and not variants and not old.variants:
        raise is_there
    has_native = NATIVE in parent.manifest.columns
    mappings: dict[str, Rules] = {}
    told_apart: dict[str, InstanceFiles] = {}
    problems: list[Problem] = []
    known: dict[str, tuple[str, ...]] = {}
    for source, rules in old.mappings.items():
        found = sources.get(source)
        release = found.releases.get(parent.manifest.sources[source]["release"]) if found else None
        if release and release.instances:
            told_apart[source] = release.instances
        try:
            trained = release.train_space if release else rules.source.name
            known[source] = _variants_onward(rules, target, trained, search)
            wanted = [variant for variant in variants if variant in known[source]]
            mappings[source] = onward(rules, target, trained, has_native=has_native, search=search, variants=wanted)
        except UnifyError as e:
            problems += [dataclasses.replace(p, path=p.path or source) for p in e.problems]
    attempt(problems, lambda: check_variants(variants, known))
    if problems:
        raise UnifyError(*problems)
    taxonomy = Taxonomy(target, mappings)
    if taxonomy == old:
        raise is_there
    routes = {source: _route(old, taxonomy, source) for source in mappings}
    things = {source: (files, taxonomy.table(source)) for source, files in told_apart.items()}
    step = Step(
        name=name or _name(parent, sources, taxonomy),
        operation={
            "operation": "convert",
            "from": old.space.name,
            "to": target.name,
            **({"variants": sorted(set(variants))} if variants else {}),
        },
        taxonomy=taxonomy,
        options=tuple(parent.manifest.recipe["options"]),
        row=Relabel(routes, len(target) + len(taxonomy.sets), len(target), things),
        notes=(f"Its labels were mapped onward from `{old.space.name}`.",),
    )
    return derivation(parent, step, samples_of(parent), sources)


def _name(parent: Artifact, sources: Mapping[str, Source], taxonomy: Taxonomy) -> str:
    known = [sources[source] for source in parent.manifest.sources if source in sources]
    if len(known) < len(parent.manifest.sources):
        return f"{parent.manifest.name}-{taxonomy.space.name}{taxonomy.suffix}"
    return default_name(known, taxonomy)


def onward(
    old: Rules,
    target: LabelSpace,
    train_space: str,
    *,
    has_native: bool,
    search: Sequence[Path] = (),
    variants: Sequence[str] = (),
) -> Rules:
    """Raw space → `target`, for labels that went through `old`: raw space → its target.

    In this order: the rules from the raw space, as a build would use them, where they can be followed; a file
    `to_<target>/<old target>.yaml`; equal names, if there are no rules from the raw space. `variants`: those that
    a table on the way has; the file is passed over where it lacks one of them.

    Raises `UnifyError` (bad-mapping) that names every class in the way.
    """
    direct = _direct(old, target, train_space, search, variants)
    if direct and (has_native or not clashes(old, direct)):
        return direct
    has_all = set(variants) <= set(variant_names(old.target.name, target.name, search))
    if old.target.name in mapped_spaces(target.name, search) and (has_all or not direct):
        then = load_mapping(old.target.name, target.name, search, variants)
        if then.source != old.target:
            what = f"the space {old.target.name} is no longer what this version was built with"
            raise error("bad-mapping", then.origin, what, "build it again from the raw data")
        return compose(old, then)
    if direct:
        raise UnifyError(*_impossible(old, direct))
    return compose(old, _by_name(old, target))


def _variants_onward(old: Rules, target: LabelSpace, train_space: str, search: Sequence[Path]) -> tuple[str, ...]:
    """The variants of any table that could be used, each once."""
    last = variant_names(old.target.name, target.name, search)
    return tuple(dict.fromkeys((*known_variants(old.source.name, train_space, target.name, search), *last)))


def _direct(
    old: Rules, target: LabelSpace, train_space: str, search: Sequence[Path], variants: Sequence[str]
) -> Rules | None:
    """The rules that a build would use, if there are any."""
    raw = old.source.name
    own = [name for name in variants if name in known_variants(raw, train_space, target.name, search)]
    if raw in mapped_spaces(target.name, search):
        direct = load_mapping(raw, target.name, search, own)
    else:
        try:
            direct = taxonomy_for({"": raw}, {"": train_space}, target.name, search, own).mappings[""]
        except UnifyError:
            if own:  # asked for by name: whatever is wrong has to be said
                raise
            return None
    if direct.source != old.source:
        what = f"the space {raw} is no longer what this version was built with"
        raise error("bad-mapping", direct.origin, what, "build it again from the raw data")
    return direct


def clashes(old: Rules, new: Rules) -> dict[Rule, dict[Rule, list[str]]]:
    """Where `new` cannot be had from labels that went through `old`, both from one raw space.

    Old rule → new rule → raw classes: for each old rule whose raw classes have several new ones. Void has to
    stay void, whatever it was before: other things are void, too.
    """
    found: dict[Rule, dict[Rule, list[str]]] = {(): {(): []}}
    for raw, rule in old.rules.items():
        found.setdefault(rule, {}).setdefault(new.rules[raw], []).append(raw)
    return {rule: images for rule, images in found.items() if len(images) > 1}


def _impossible(old: Rules, new: Rules) -> Iterator[Problem]:
    for rule, images in clashes(old, new).items():
        became = "; ".join(f"{quoted(raw)} → {rule_text(image)}" for image, raw in images.items() if raw)
        what = f"{rule_text(rule)} of {old.target.name} cannot be told apart in {new.target.name}: {became}"
        fix = "build it from the raw data, or convert a version that was built with --native"
        yield Problem("bad-mapping", "", what, fix)


def _by_name(old: Rules, target: LabelSpace) -> Rules:
    """Every class that the source annotates to the class of the same name; the others do not occur."""
    annotated = [name for name, here in zip(old.target.names, old.annotated(), strict=True) if here]
    if missing := [name for name in annotated if name not in target.names]:
        what = (
            f"there are no rules from {old.source.name} or {old.target.name} to {target.name}, and by name it "
            f"lacks {counted(missing, 'class')} of {old.target.name}: {quoted(missing)}"
        )
        raise error("bad-mapping", "", what, f"write to_{target.name}/{old.target.name}.yaml (--mappings)")
    return Rules(old.target, target, {name: (name,) if name in annotated else () for name in old.target.names})


def _route(old: Taxonomy, new: Taxonomy, source: str) -> Route:
    """By the old labels where these say all; by native ids where they do not."""
    before, after = old.mappings[source], new.mappings[source]
    if clashes(before, after):
        return Route(NATIVE, new.table(source))
    table = np.full(256, VOID, np.uint8)
    old_codes, new_codes = rule_codes(old.space, old.sets), rule_codes(new.space, new.sets)
    for raw, rule in before.rules.items():
        table[old_codes[rule]] = new_codes[after.rules[raw]]
    return Route("label", table)

"""`unify build`: raw roots in, a version out."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unify.cli.options import json_option, mappings_option, out_option, root_options, variant_option
from unify.cli.show import counted, duration, json_line, progress, size, table, what_was_done
from unify.errors import OK, UnifyError, summary
from unify.errors import REJECTS as REJECTED

if TYPE_CHECKING:
    from unify.plan import Plan, Shard
    from unify.rows import Receipt
    from unify.sources import Detection, Source
    from unify.taxonomy import Taxonomy


@click.command("build", short_help="Relabel raw datasets into one version.")
@click.option(
    "--datasets",
    required=True,
    metavar="C,I,B,M",
    help="Which datasets, by letter or name (M@v2.0 picks a release).",
)
@root_options
@out_option
@click.option("--space", help="Target label space; by default the naive union of the chosen datasets.")
@variant_option
@mappings_option
@click.option(
    "--split",
    "splits",
    multiple=True,
    help="Splits to build; by default train and val, or test if there is no val. Repeatable.",
)
@click.option("--name", help="Name of the version's folder; by default letters and space: cibm-union70.")
@click.option("--native", is_flag=True, help="Keep each source's own ids too, as column label_source.")
@click.option("--instances", is_flag=True, help="Keep the sources' instance images, and count instances per class.")
@click.option("--centroids", is_flag=True, help="Where each class is, per tile: what class-uniform sampling needs.")
@click.option("--cpp", "cpp_scales", metavar="4,8", help="Labels pooled to shares in cells of 4x4 and 8x8: for cpp.")
@click.option(
    "-j",
    "--workers",
    type=click.IntRange(1),
    help="Processes; by default all cores, or one for less data than their start would take.",
)
@click.option("--keep-going", is_flag=True, help="Leave faulty samples out (rejects.jsonl) and exit 3.")
@click.option("--max-pixels", type=click.IntRange(1), help="Largest image to accept, in pixels (100 million).")
@click.option("--sample", is_flag=True, help="Use generated street scenes for raw data: a try-out without downloads.")
@click.option("--dry-run", is_flag=True, help="Print the plan: samples, shards, bytes, time.")
@json_option
def build_command(
    datasets: str,
    roots: tuple[str, ...],
    config: Path | None,
    follow_links: bool,
    out: Path,
    space: str | None,
    variants: tuple[str, ...],
    mappings: Path | None,
    splits: tuple[str, ...],
    name: str | None,
    native: bool,
    instances: bool,
    centroids: bool,
    cpp_scales: str | None,
    workers: int | None,
    keep_going: bool,
    max_pixels: int | None,
    sample: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Relabel raw datasets into one label space and write them as one version.

    Every pixel of every source goes through a rule; a raw file that is missing, damaged or of another
    size than its partner stops the build, with all such files listed. Run again after an interruption,
    it takes up where it stopped. The same inputs again: nothing to do, but to make again what was damaged since.

    \b
    Example:
      unify build --datasets C,I,B,M --root C=/data/cityscapes --root /data/others
      unify build --datasets C,I --root /data --space cityscapes19 --dry-run
    """
    started = time.monotonic()
    from unify import cpp
    from unify.build import REJECTS, build
    from unify.codecs import MAX_PIXELS
    from unify.engine import processes, start_server
    from unify.plan import plan_build
    from unify.roots import known_sources, resolve_roots

    sources = known_sources(config)
    if sample:
        roots = (*roots, str(_streets(out, datasets)))
    optional = {"native": native, "instances": instances, "centroids": centroids}
    pooled = [cpp.option(scale) for scale in cpp.parse_scales(cpp_scales)] if cpp_scales is not None else []
    found = resolve_roots(datasets, roots, config=config, environ=os.environ, sources=sources)
    releases = {name: sources[name].releases[d.release] for name, d in found.items()}
    taxonomy = _taxonomy(found, sources, space, mappings, variants)
    if workers and workers > 1 and not dry_run:
        start_server()
    plan = plan_build(
        found,
        taxonomy,
        splits or _usual_splits(found, sources),
        name=name,
        options=[*(name for name, wanted in optional.items() if wanted), *pooled],
        follow_links=follow_links,
        sources=sources,
    )
    workers = workers or _workers_for(plan.input_bytes)
    if instances and (alike := [name for name in found if not releases[name].instances]):
        what = "does not tell things of one class apart" if len(alike) == 1 else "do not tell things of one class apart"
        listed = ", ".join(f"{name} ({releases[name].name})" for name in alike)
        click.echo(f"unify: --instances: {listed} {what}", err=True)
    if dry_run:
        return _print_plan(plan, workers, keep_going, as_json)
    if plan.problems and not keep_going:
        click.echo(f"unify: {counted(len(plan.problems), 'problem')} so far; reading on, to list all", err=True)
    try:
        with progress("build", plan.samples, quiet=as_json) as advance:

            def shard_done(shard: Shard, receipt: Receipt) -> None:
                advance(len(shard.samples), shard.input_bytes)

            result = build(
                plan,
                out,
                engine=processes(min(workers, len(plan.shards))),
                keep_going=keep_going,
                follow_links=follow_links,
                max_pixels=max_pixels or MAX_PIXELS,
                progress=shard_done,
            )
    except UnifyError as e:
        if (out / plan.name / REJECTS).exists():
            path = out / plan.name / REJECTS
            told = f"{counted(len(e.problems), 'problem')}, no version written; the whole list: {path}"
            click.echo(f"unify: {told}", err=True)
        raise
    seconds = time.monotonic() - started
    manifest, path = result.artifact.manifest, result.artifact.path
    for line in summary(result.problems):
        click.echo(line, err=True)
    if as_json:
        facts = {"path": str(path), "name": manifest.name, "version": manifest.version}
        mended = {"mended": result.mended} if result.mended else {}
        json_line(
            {**facts, "digest": manifest.digest, "images": manifest.images, "seconds": round(seconds, 3), **mended}
        )
    elif result.fresh:
        rejected = f", {counted(len(result.problems), 'problem')} left out" if result.problems else ""
        click.echo(f"{path}: {manifest.images:,} images in {duration(seconds)}{rejected} ({manifest.digest[:12]})")
    else:
        click.echo(f"{path}: the same inputs as before, {what_was_done(result.mended)} ({manifest.digest[:12]})")
    return REJECTED if result.problems else OK


def _workers_for(input_bytes: int) -> int:
    """A process takes about as long to start as 64 MB of raw data to convert."""
    return max(1, min(os.cpu_count() or 1, input_bytes >> 26))


def _usual_splits(found: Mapping[str, Detection], sources: Mapping[str, Source]) -> tuple[str, ...]:
    """train and val, as far as a dataset has them; test in place of val if none has that; else all there are."""
    have = {split for name, d in found.items() for split in sources[name].releases[d.release].splits}
    usual = ("train", "val" if "val" in have else "test")
    return tuple(split for split in usual if split in have) or tuple(sorted(have))


def _taxonomy(
    found: Mapping[str, Detection],
    sources: Mapping[str, Source],
    space: str | None,
    mappings: Path | None,
    variants: tuple[str, ...],
) -> Taxonomy:
    from unify.taxonomy import taxonomy_for

    releases = {name: sources[name].releases[d.release] for name, d in found.items()}
    return taxonomy_for(
        {name: release.space for name, release in releases.items()},
        {name: release.train_space for name, release in releases.items()},
        space,
        search=(mappings,) if mappings else (),
        variants=variants,
    )


def _streets(out: Path, datasets: str) -> Path:
    """Generated raw roots for `--sample`, beside the versions."""
    from unify.roots import parse_datasets
    from unify.sample import write_streets
    from unify.sources import SOURCES
    from unify.sources.base import GENERATED_MARK

    letters = [SOURCES[wanted.source].letter for wanted in parse_datasets(datasets)]
    folder = out / f"streets-{''.join(letters).lower()}"
    if not (folder / GENERATED_MARK).exists():
        write_streets(folder, letters, images=8, seed=0)
    return folder


def _print_plan(plan: Plan, workers: int, keep_going: bool, as_json: bool) -> int:
    from unify.estimate import seconds_to_build

    seconds = seconds_to_build(plan, workers)
    groups: dict[tuple[str, str], list[Shard]] = {}
    for shard in plan.shards:
        groups.setdefault((shard.source, shard.split), []).append(shard)
    rows = [
        (source, plan.roots[source].release, split, sum(len(s.samples) for s in shards), len(shards),
         sum(s.input_bytes for s in shards))
        for (source, split), shards in groups.items()
    ]  # fmt: skip
    names = ("source", "release", "split", "images", "shards", "bytes")
    if as_json:
        facts = {"name": plan.name, "classes": len(plan.taxonomy.space), "images": plan.samples}
        totals = {"shards": len(plan.shards), "bytes": plan.input_bytes, "seconds": round(seconds, 1)}
        json_line({**facts, **totals, "groups": [dict(zip(names, row, strict=True)) for row in rows]})
    else:
        table(names, [(*row[:-1], size(row[-1])) for row in rows])
        what = f"{plan.name}: {plan.samples:,} images to {len(plan.taxonomy.space)} classes"
        how_long = f"about {duration(seconds)} with {counted(workers, 'worker')}"
        click.echo(f"{what} in {counted(len(plan.shards), 'shard')}, {size(plan.input_bytes)}; {how_long}")
    for line in summary(plan.problems):
        click.echo(line, err=True)
    if plan.problems and not keep_going:
        return UnifyError(*plan.problems).exit_code
    return REJECTED if plan.problems else OK

"""`unify doctor`: what lies in raw roots, before anything is built from it."""

from __future__ import annotations

import os
from pathlib import Path

import click

from unify.cli.options import json_option, root_options
from unify.cli.show import json_line, progress, table
from unify.errors import OK, UnifyError, summary


@click.command("doctor", short_help="Survey raw roots: what is there, what is odd.")
@click.option("--datasets", metavar="C,I,B,M", help="Which datasets to look for; by default all that are found.")
@root_options
@click.option("--deep", is_flag=True, help="Look into every file's header, too: kinds, sizes, EXIF.")
@json_option
def doctor(
    datasets: str | None, roots: tuple[str, ...], config: Path | None, follow_links: bool, deep: bool, as_json: bool
) -> int:
    """Survey raw roots: which dataset and release, how many pairs, what is missing or odd.

    Exit code 0 if all that was found can be built from, 66 if nothing was found, else that of the gravest
    fault. Numbers of pairs that are not the official ones are no fault.

    \b
    Example:
      unify doctor --root /data
      unify doctor --datasets C,I --root C=/data/cityscapes --root I=/data/idd --deep
    """
    from unify.doctor import survey
    from unify.roots import known_sources, resolve_roots

    sources = known_sources(config)
    found = resolve_roots(datasets, roots, config=config, environ=os.environ, incomplete=True, sources=sources)
    surveys = [survey(root, sources=sources, follow_links=follow_links) for root in found.values()]
    if deep:
        with progress("doctor", sum(s.pairs for s in surveys), "pairs", quiet=as_json) as advance:
            surveys = [
                survey(root, sources=sources, follow_links=follow_links, deep=True, progress=advance)
                for root in found.values()
            ]
    problems = [p for s in surveys for p in s.problems]
    if as_json:
        json_line({"usable": not problems, "sources": [s.to_json() for s in surveys]})
    else:
        table(
            ["dataset", "release", "split", "pairs", "official", "faults", "root"],
            [
                (s.found.source, s.found.release, x.split, x.pairs, x.official, len(x.problems), s.found.root)
                for s in surveys
                for x in s.splits
            ],
        )
        for s in surveys:
            for note in s.notes:
                click.echo(f"{s.found.source}: {note}")
        for line in summary(problems):
            click.echo(line, err=True)
    return UnifyError(*problems).exit_code if problems else OK

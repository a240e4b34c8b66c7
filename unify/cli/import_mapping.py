"""`unify import-mapping`: a mapping table from elsewhere, as a mapping file of ours."""

from __future__ import annotations

from pathlib import Path

import click

from unify.cli.options import json_option, mappings_option
from unify.cli.show import json_line


@click.command("import-mapping", short_help="Turn an SSSOM or CSV table into a mapping file.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--from", "source", required=True, metavar="SPACE", help="Label space of the left side.")
@click.option("--to", "target", required=True, metavar="SPACE", help="Label space of the right side.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of your mappings, for --mappings later: <out>/to_<target>/<source>.yaml is written.",
)
@click.option("--rest", type=click.Choice(["void"]), help="Source classes without a row become void; else an error.")
@click.option("--replace", is_flag=True, help="Write over the file that is there.")
@mappings_option
@json_option
def import_mapping_command(
    file: Path,
    source: str,
    target: str,
    out: Path,
    rest: str | None,
    replace: bool,
    mappings: Path | None,
    as_json: bool,
) -> None:
    """Read a mapping table in SSSOM (TSV) or CSV, check it whole, and write it as a mapping file.

    SSSOM: exact, close and broad matches are rules to one class, narrow matches to several are "one of these",
    sssom:NoTermFound is void. CSV: columns source and target, several targets as "car;truck" or in several rows,
    void where the target is empty. A column `comment` is kept. `unify spaces SPACE --sssom SOURCE` is the way back.

    \b
    Example:
      unify import-mapping table.sssom.tsv --from cityscapes --to union70 -o my
      unify import-mapping table.csv --from idd --to cityscapes19 -o my --rest void
    """
    from unify.importers import read_table, write_mapping
    from unify.spaces import load_space

    search = (*((mappings,) if mappings else ()), *((out,) if out.is_dir() else ()))
    table = read_table(file, load_space(source, search), load_space(target, search), rest_void=rest == "void")
    path = write_mapping(table, out, replace=replace)
    rules = table.mapping.rules.values()
    voids, sets = sum(rule == () for rule in rules), sum(len(rule) > 1 for rule in rules)
    if as_json:
        json_line({"path": str(path), "rules": len(rules), "void": voids, "sets": sets})
    else:
        click.echo(f"{path}: {len(rules)} rules, {voids} of them void, {sets} with several classes")

"""`unify papers`: the tables of the papers, what follows from their figures, and our own results beside them."""

from __future__ import annotations

import click

from unify.cli.options import json_option
from unify.cli.show import json_line, table

_WIDTH = 100  #: of a turned table's blocks
_COLUMNS = 10  #: tables with more are turned, a class a line


@click.command("papers", short_help="Show the papers' tables beside our results.")
@click.argument("name", metavar="[TABLE]", required=False)
@click.option(
    "--format", "form", type=click.Choice(["text", "markdown", "latex"]), default="text", show_default=True,
    help="Of a table; without TABLE, markdown is the page on all of them.",
)  # fmt: skip
@json_option
def papers_command(name: str | None, form: str, as_json: bool) -> None:
    """List the papers' tables, or show one: figures as printed, derived ones, and our own where we have any.

    What follows from other figures of a table (means, differences) is computed anew from them; where it differs
    from what is printed, it is said whether rounding explains that.

    \b
    Example:
      unify papers
      unify papers B-1
      unify papers dropclass-c2 --format latex
      unify papers uniseg-a2 --json
    """
    if as_json and form != "text":
        raise click.UsageError("Use just one of --json and --format.")
    if name is None and form == "latex":
        raise click.UsageError("--format latex needs a TABLE.")
    from unify.papers.show import as_table, facts, page, to_json
    from unify.papers.tables import find_table, load_tables

    tables = load_tables()
    if name is not None:
        found = find_table(tables, name)
        if as_json:
            json_line(to_json(found))
            return
        shown = as_table(found)
        if form == "text":
            text = shown.tall(_WIDTH) if len(shown.columns) > _COLUMNS else shown.text()
        else:
            text = shown.markdown() if form == "markdown" else shown.latex()
        click.echo(text)
    elif as_json:
        json_line([facts(found) for found in tables.values()])
    elif form == "markdown":
        click.echo(page(tables.values()), nl=False)
    else:
        heads = ["table", "number", "paper", "figures", "recomputed", "differ", "open", "ours"]
        keys = ["figures", "recomputed", "differences", "unexplained", "ours"]
        rows = []
        for found in tables.values():
            line = facts(found)
            rows.append([found.name, found.number, f"{found.paper.venue}: {found.title}", *(line[key] for key in keys)])
        table(heads, rows)

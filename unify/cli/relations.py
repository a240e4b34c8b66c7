"""`unify relations`: which classes of one source are also another class, learnt from a net or its statistics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unify.cli.options import json_option
from unify.cli.show import counted, json_line, progress, table

if TYPE_CHECKING:
    from unify.relations.evidence import Evidence
    from unify.relations.rules import Edge, Relations
    from unify.relations.score import Score
    from unify.taxonomy import Taxonomy

_LISTED = 6  #: doubtful names that are shown
_LEARNT = 0.1  #: the least share of a label's own pixels that a net tells as such, to be believed about it
_folder = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))


class _Relations(click.Group):
    """A command with options, and a group: what is no subcommand is the DIR of `show`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands:
            args = ["show", *args]
        return super().resolve_command(ctx, args)


@click.group(
    "relations", short_help="Learn which labels are also other classes.", cls=_Relations, invoke_without_command=True
)
@click.option("--from-model", "model", type=click.Path(path_type=Path), help="A checkpoint, to be swept over --data.")
@click.option("--data", metavar="PATH", help="The version that it sees: a folder, or a name below --root.")
@click.option(
    "--classes", metavar="FILE", help="Names of the classes of a net of other people: a file, or a label space."
)
@click.option("--root", default="out", show_default=True, help="Where versions given by name lie.")
@click.option("--split", default="train", show_default=True, help="The split of --data.")
@click.option(
    "--refit",
    is_flag=True,
    help="Fit a classifier anew on the net's features, one that knows void too; minutes more, and better relations.",
)
@click.option(
    "--from-stats", "stats", type=click.Path(path_type=Path, dir_okay=False), help="Stored statistics of a net (JSON)."
)
@click.option(
    "--rule",
    type=click.Choice(["paper", "calibrated"]),
    help="UniSeg's rule, or our own; calibrated by default, paper for statistics and with --tau.",
)
@click.option("--tau", type=float, help="Of the paper's rule: the least mean cosine of an edge.  [default: -0.08]")
@click.option(
    "--threshold", type=click.FloatRange(0, 1), help="Of the calibrated rule: the least score.  [default: 0.5]"
)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="Folder of the new version; none is written without."
)
@json_option
@click.pass_context
def relations(
    ctx: click.Context,
    model: Path | None,
    data: str | None,
    classes: str | None,
    root: str,
    split: str,
    refit: bool,
    stats: Path | None,
    rule: str | None,
    tau: float | None,
    threshold: float | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Learn which labels of a source are also another class ("bicyclist" is also "rider").

    From a trained net, in one sweep over a dataset, or from statistics of one: a JSON file with "classes"
    and, per name in "datasets", "pixels" and "mean_cosine" (a row per label, a column per class; null where
    the dataset lacks the label). The result is a version: edges, nodes, evidence, graph, picture, table.

    With --refit the answers are those of a classifier that is fitted to the net's features for the purpose: a
    small net's own learns little of rare classes, and nothing of what a source leaves void.

    The net may be of other people: a folder that transformers saved, or a file of TorchScript or torch.export
    with --classes. Classes are matched by name.

    \b
    Example:
      unify relations --from-model ckpt.pt --data cibm-union70 -o out/relations
      unify relations --from-model ckpt.pt --data cibm-union70 --refit -o out/refitted
      unify relations --from-model theirs.pt2 --classes names.txt --data cibm-union70 -o out/relations
      unify relations --from-stats stats.json --rule paper -o out/relations
      unify relations out/relations
    """
    if ctx.invoked_subcommand is not None:
        if given := [p for p in ctx.params if ctx.get_parameter_source(p) == click.core.ParameterSource.COMMANDLINE]:
            names = ", ".join("--" + {"model": "from-model", "stats": "from-stats", "as_json": "json"}.get(p, p)
                              for p in given)  # fmt: skip
            raise click.UsageError(f"{names} goes behind DIR or does not go with it.")
        return
    if (model is None) == (stats is None):
        raise click.UsageError("Give just one of --from-model and --from-stats, or the DIR of relations to show.")
    if (model is None) != (data is None):
        raise click.UsageError("--from-model and --data go together.")
    if classes is not None and model is None:
        raise click.UsageError("--classes goes with --from-model.")
    if refit and model is None:
        raise click.UsageError("--refit goes with --from-model.")
    from unify.relations.stats import read_stats

    taxonomy: Taxonomy | None = None
    if stats is not None:
        evidence = read_stats(stats)
    else:
        assert model is not None and data is not None
        evidence, taxonomy = _sweep(model, data, classes, root, split, refit, quiet=as_json)
    found = _learn(evidence, rule, tau, threshold, taxonomy)
    path, note = None, ""
    if out is not None:
        from unify.relations.files import write_relations

        artifact, fresh = write_relations(found, out)
        path, note = str(out), "" if fresh else ": the same as before, nothing to do"
        note = f"{out}{note} ({artifact.digest[:12]})"
    if as_json:
        json_line({"path": path, "edges": [e.to_json() for e in found.targets]})
        return
    _print(found)
    if note:
        click.echo(f"\n{note}")


def _sweep(
    model: Path, data: str, classes: str | None, root: str, split: str, refit: bool, quiet: bool
) -> tuple[Evidence, Taxonomy]:
    """One sweep of a checkpoint, by `trainers.sweep.evidence_of(model, artifact, split=, classes=, advance=)`, or by
    that of `trainers.refit`.

    It gives an `unify.relations.evidence.Evidence` for the sources and the space of the artifact, made_from with
    "checkpoint" (BLAKE3 of the file) and "data" (the artifact's digest), and calls advance(images, bytes). It
    raises `UnifyError` for a checkpoint of other classes, NaN weights, or a split that is not there.
    """
    import importlib

    from unify.artifact import locate
    from unify.errors import error

    artifact = locate(data, root)
    if split not in {name for source in artifact.manifest.sources.values() for name in source["splits"]}:
        raise error("usage", artifact.path, f"has no split '{split}'", "see its README.md for those it has")
    try:
        # By name: unify itself never imports it.
        sweep = importlib.import_module("trainers.refit" if refit else "trainers.sweep")
    except ImportError as e:
        fix = "install what training needs (pip install '.[train]') and run where trainers/ can be imported"
        raise error("usage", "--from-model", f"needs the training side, which cannot be imported ({e})", fix) from e
    images = sum(source["splits"].get(split, 0) for source in artifact.manifest.sources.values())
    with progress("sweep", images, quiet=quiet) as advance:
        evidence: Evidence = sweep.evidence_of(model, artifact, split=split, classes=classes, advance=advance)
    return evidence, artifact.taxonomy


def _learn(
    evidence: Evidence, rule: str | None, tau: float | None, threshold: float | None, taxonomy: Taxonomy | None
) -> Relations:
    import dataclasses

    from unify.relations.learner import THRESHOLD, calibrated
    from unify.relations.rules import TAU, paper

    rule = rule or ("paper" if evidence.answers is None or tau is not None else "calibrated")
    if tau is not None and rule != "paper":
        raise click.UsageError("--tau is of the paper's rule; the calibrated one has --threshold.")
    if threshold is not None and rule != "calibrated":
        raise click.UsageError("--threshold is of the calibrated rule; the paper's has --tau.")
    if rule == "paper":
        found = paper(evidence, TAU if tau is None else tau)
    else:
        found = calibrated(evidence, THRESHOLD if threshold is None else threshold)
    return dataclasses.replace(found, taxonomy=taxonomy)


def _print(found: Relations) -> None:
    """The two columns of Table A-1, and why."""
    from unify.relations.rules import paper, two_columns

    groups: dict[tuple[str, str], list[Edge]] = {}
    for e in found.targets:
        groups.setdefault((e.label, e.related), []).append(e)
    rows = []
    for pair in two_columns(found.edges):
        group = groups[pair]
        best = max(group, key=lambda e: e.score)
        share = [] if best.share is None else [_share(best)]
        sources = ", ".join(e.source for e in group)
        rows.append([*pair, best.type, sources, f"{best.score:.2f}", f"{best.own_score:.2f}", *share])
    head = ["primary label", "secondary label", "type", "labelled by", "score", "own score"]
    if rows:
        table(head + ["share"] * (len(rows[0]) - len(head)), rows)
        click.echo()
    settings = ", ".join(f"{name} {value:g}" for name, value in found.settings.items())
    click.echo(f"{counted(len(rows), 'pair')} of classes, {counted(len(found.targets), 'edge')} "
               f"of {', '.join(found.evidence.sources)}, by the {found.rule} rule ({settings})")  # fmt: skip
    if found.rule != "paper":
        control, ours = paper(found.evidence), {(e.source, e.label, e.related) for e in found.targets}
        common = sum((e.source, e.label, e.related) in ours for e in control.targets)
        click.echo(
            f"the paper's rule gives {counted(len(control.targets), 'edge')} on this evidence, {common} of these"
        )
    if unlearnt := _unlearnt(found):
        click.echo("a guess, as the net tells less than a tenth of their own pixels: " + _few(unlearnt))
    if unsafe := _unsafe(found):
        click.echo("same name, other pixels, as far as this net tells: " + _few(unsafe))


def _few(items: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f"; and {len(items) - _LISTED} more (evidence: `unify relations explain`)" if len(items) > _LISTED else ""
    return "; ".join(items[:_LISTED]) + more


def _share(e: Edge) -> str:
    """0.93 (0.90 to 0.96)"""
    span = "" if e.low is None or e.high is None else f" ({e.low:.2f} to {e.high:.2f})"
    return f"{e.share:.2f}{span}"


def _unlearnt(found: Relations) -> list[str]:
    """Labels with edges that the net has hardly learnt, and how much of their own pixels it tells; the worst first."""
    evidence, recall = found.evidence, found.evidence.recall()
    labels = {(e.source, e.label) for e in found.targets}
    known = [(recall[evidence.sources.index(s), evidence.classes.index(c)], c, s) for s, c in sorted(labels)]
    return [f"{c} ({share:.2f} of {s}'s)" for share, c, s in sorted(known) if share < _LEARNT]


def _unsafe(found: Relations) -> list[str]:
    """Names of which one source would call clearly less than 0.8 of another's pixels so; the least first."""
    doubtful = [e for e in found.estimates if e.label == e.related and (e.share if e.high is None else e.high) < 0.8]
    return [
        f"{e.label} ({e.share:.2f} of {e.source}'s is {e.other}'s)" for e in sorted(doubtful, key=lambda e: e.share)
    ]


@relations.command("show", short_help="Show what each label's pixels may also be.")
@_folder
@json_option
def show(directory: Path, as_json: bool) -> None:
    """The two-column table: a label, and what its pixels are also. `unify relations DIR` is the same.

    \b
    Example:
      unify relations show out/relations
    """
    from unify.relations.files import open_relations

    found = open_relations(directory)
    if as_json:
        json_line({"path": str(directory), "edges": [e.to_json() for e in found.targets]})
    else:
        _print(found)


@relations.command("explain", short_help="Show all that is known of one relation.")
@_folder
@click.argument("label", metavar="A")
@click.argument("related", metavar="B")
@json_option
def explain(directory: Path, label: str, related: str, as_json: bool) -> None:
    """All that is known of "pixels of A are also B", and of the other direction.

    \b
    Example:
      unify relations explain out/relations bicyclist rider
    """
    from unify.relations.explain import facts, sentences
    from unify.relations.files import open_relations

    found = open_relations(directory)
    if as_json:
        json_line({"path": str(directory), **facts(found, label, related)})
        return
    for line in sentences(found, label, related):
        click.echo(line)


@relations.command("score", short_help="Compare relations with the truth.")
@_folder
@click.option(
    "--truth", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The truth.json of `unify sample`."
)
@click.option(
    "--least",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.9,
    show_default=True,
    help="Share of a label's pixels from which a relation is true.",
)
@json_option
def score_command(directory: Path, truth: Path, least: float, as_json: bool) -> None:
    """Precision, recall, F1 and average precision against the truth, per pair of sources and in all.

    Beside the rule's own figures stand those of the paper's rule on the same evidence.

    \b
    Example:
      unify relations score out/relations --truth streets/truth.json
    """
    from unify.relations.files import open_relations
    from unify.relations.rules import paper
    from unify.relations.score import read_truth, score

    found = open_relations(directory)
    shares = read_truth(truth, found)
    scores = score(found, shares, least)
    control = None if found.rule == "paper" else score(paper(found.evidence), shares, least)
    if as_json:
        more = {} if control is None else {"paper": control.to_json()}
        json_line({"path": str(directory), "rule": found.rule, **scores.to_json(), **more})
        return
    rows = [_score_row(f"{a} → {b}", one) for (a, b), one in scores.pairs.items()]
    rows.append(_score_row("all", scores.all))
    if control is not None:
        rows.append(_score_row("all, by the paper's rule", control.all))
    table(["sources", "precision", "recall", "F1", "AP", "true", "edges", "right", "candidates"], rows)
    click.echo()
    for what, keys in (("missed", scores.all.missed), ("wrong", scores.all.wrong)):
        for source, label, related in keys:
            click.echo(f"{what}: {label} → {related} ({source})")
    if scores.unjudged:
        click.echo(f"not judged, as no other source has the class: {counted(len(scores.unjudged), 'edge')}")


def _score_row(name: str, one: Score) -> list[Any]:
    values = (one.precision, one.recall, one.f1, one.average_precision)
    return [name, *("-" if v is None else f"{v:.2f}" for v in values), one.true, one.edges, one.right, one.candidates]

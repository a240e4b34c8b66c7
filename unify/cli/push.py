"""`unify push`: a version to a dataset repository."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import click

from unify.cli.options import json_option
from unify.cli.show import json_line, progress, size, table


@click.command("push", short_help="Send a version to the Hugging Face Hub.")
@click.argument("path")
@click.argument("repo_id")
@click.option("--private/--public", default=True, show_default=True, help="Of a repository that is created.")
@click.option("--dry-run", is_flag=True, help="Print what would be sent; nobody is asked.")
@click.option("--labels-only", is_flag=True, help="Without the images; they can be joined by sample_id.")
@click.option(
    "--allow-restricted", is_flag=True, help="You have the right to pass on what the sources' terms restrict."
)
@click.option("--revision", default="main", show_default=True, help="Branch to commit to; made if it is not there.")
@click.option("--endpoint", help="Another hub; by default HF_ENDPOINT or https://huggingface.co.")
@click.option("--root", default="out", show_default=True, help="Where versions given by name lie.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A unify.toml that describes datasets of your own; ./unify.toml is read if present.",
)
@json_option
def push_command(
    path: str,
    repo_id: str,
    private: bool,
    dry_run: bool,
    labels_only: bool,
    allow_restricted: bool,
    revision: str,
    endpoint: str | None,
    root: str,
    config: Path | None,
    as_json: bool,
) -> None:
    """Send a version to a dataset repository on the Hugging Face Hub: one commit, tagged with its number.

    Refused, with a line for each source, where the sources' terms do not let their data be passed on; what
    `unify sample` generated is free to share. The token is that of `hf auth login`, or HF_TOKEN.

    \b
    Example:
      unify push cibm-union70 me/cibm-union70 --dry-run
      unify push cibm-union70 me/cibm-union70-labels --labels-only
    """
    from datetime import UTC, datetime

    from unify.artifact import locate
    from unify.publish.licences import notice
    from unify.publish.push import check_repo_id, check_terms, check_whole, parcel, push, repo_url
    from unify.roots import known_sources

    artifact = locate(path, root)
    check_repo_id(repo_id)
    if not allow_restricted:
        check_terms(artifact, labels_only=labels_only)
    sources = known_sources(config)
    if endpoint is None:
        from huggingface_hub.constants import ENDPOINT

        endpoint = ENDPOINT
    if not dry_run:
        with progress("verify", len(artifact.manifest.files), "files", quiet=as_json) as advance:
            check_whole(artifact, lambda name, n_bytes: advance(1, n_bytes))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) if labels_only else None
        url, today = repo_url(repo_id, endpoint), datetime.now(UTC).date().isoformat()
        what = parcel(artifact, url, today, labels_folder=folder, sources=sources)
        sizes = what.sizes()
        facts = {
            "url": url,
            "revision": revision,
            "tag": what.version,
            "digest": what.digest,
            "files": len(sizes),
            "bytes": sum(sizes.values()),
        }
        if dry_run:
            if as_json:
                json_line({**facts, "dry_run": True, "private": private, "sizes": sizes})
                return
            table(["file", "bytes"], list(sizes.items()))
            visible = "private" if private else "public"
            click.echo(f"would go to {url} ({visible} if it is new), branch {revision}, tag {what.version}: "
                       f"{len(sizes):,} files, {size(sum(sizes.values()))}")  # fmt: skip
            for line in notice(artifact.manifest.sources, artifact.manifest.sources):
                click.echo(f"terms of {line}")
            return
        if as_json:
            from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

            disable_progress_bars()
        done = push(what, repo_id, endpoint=endpoint, private=private, revision=revision)
    terms = notice(artifact.manifest.sources, artifact.manifest.sources)
    if as_json:
        json_line({**facts, "terms": terms, "commit": done.commit, "created": done.created, "fresh": done.fresh,
                   "removed": done.removed})  # fmt: skip
    elif not done.fresh:
        click.echo(f"{done.url}: {done.tag} is there already, nothing to do")
    else:
        gone = f", {len(done.removed):,} files of an earlier version removed" if done.removed else ""
        click.echo(f"{done.url}: {len(sizes):,} files, {size(sum(sizes.values()))}, tag {done.tag}{gone}")
    if done.fresh and not as_json:
        for line in terms:
            click.echo(f"terms of {line}")

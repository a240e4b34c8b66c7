"""`unify list`, `unify verify`: what is there, and whether it is whole."""

from __future__ import annotations

from pathlib import Path

import click

from unify.cli.options import json_option
from unify.cli.show import json_line, progress, size, table
from unify.errors import NOT_VERIFIED, OK

_root_option = click.option("--root", default="out", show_default=True, help="Where versions given by name lie.")


@click.command("list", short_help="List the versions below a folder.")
@click.argument("root", default="out", type=click.Path(path_type=Path))
@json_option
def list_command(root: Path, as_json: bool) -> None:
    """All versions below a folder.

    \b
    Example:
      unify list out
    """
    from unify.artifact import list_artifacts
    from unify.errors import error

    if not root.is_dir():
        raise error("not-found", root, "is no folder", "give the --out folder of your builds")
    found = [(a.path, a.manifest, sum(file.size for file in a.manifest.files.values())) for a in list_artifacts(root)]
    if as_json:
        fields = ("name", "version", "digest", "space", "classes", "sources", "images")
        json_line([{"path": str(path), **{f: getattr(m, f) for f in fields}, "bytes": n} for path, m, n in found])
        return
    table(
        ["name", "version", "space", "classes", "sources", "images", "size", "digest"],
        [
            (m.name, m.version, m.space, m.classes, " ".join(m.sources), m.images, size(n), m.digest[:12])
            for _, m, n in found
        ],
    )


@click.command("verify", short_help="Check every file of a version.")
@click.argument("path")
@_root_option
@json_option
def verify_command(path: str, root: str, as_json: bool) -> int:
    """Check every file of a version against its digest, and every Parquet page against its checksum.

    Exit code 76 and the names of the files when something is missing, changed or too much.

    \b
    Example:
      unify verify out/cibm-union70/1.0.0
    """
    from unify.artifact import locate
    from unify.errors import UnifyError
    from unify.verify import verify

    try:
        artifact = locate(path, root)
        with progress("verify", len(artifact.manifest.files) + 1, "files", quiet=as_json) as advance:
            advance(1, 0)  # manifest.json, which opening has checked
            result = verify(artifact, lambda name, n_bytes: advance(1, n_bytes))
        files, problems = result.files, result.problems
    except UnifyError as e:
        if not as_json or e.exit_code != NOT_VERIFIED:
            raise
        files, problems = 1, e.problems
    if as_json:
        json_line({"ok": not problems, "files": files, "bad": [p.path for p in problems]})
    else:
        for problem in problems:
            click.echo(f"unify: {problem}", err=True)
        if not problems:
            click.echo(f"{artifact.path}: {files} files, all as published ({artifact.digest[:12]})")
    return NOT_VERIFIED if problems else OK

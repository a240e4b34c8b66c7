"""Is a version still what was published? Every file against its digest, every Parquet page against its CRC."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from unify import storage
from unify.artifact import Artifact
from unify.errors import Problem, UnifyError
from unify.manifest import FILE, File

_REBUILD = "run the command that made the version again: it makes what is damaged anew; or restore the file from a copy"


@dataclass(frozen=True, slots=True)
class Verification:
    """How many files were checked, and what is wrong with which."""

    files: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


def verify(artifact: Artifact, progress: Callable[[str, int], None] = lambda name, size: None) -> Verification:
    """Check every file the manifest names, and that there is no other.

    Sizes and BLAKE3 digests settle whether the bytes are those that were published. Parquet files are
    read through as well, page checksums on, since a version may have been written wrong.
    Opening the artifact has already checked the manifest against its own digest.
    """
    problems = list(_strangers(artifact))

    def check(item: tuple[str, File]) -> tuple[str, int, list[Problem]]:
        name, file = item
        path = artifact.path / name
        problem = _other_bytes(path, name, file)
        if not problem and path.suffix == ".parquet" and (what := unreadable(path)):
            problem = Problem("not-verified", name, what, _REBUILD)
        return name, file.size, [problem] if problem else []

    with ThreadPoolExecutor() as pool:
        for name, size, found in pool.map(check, artifact.manifest.files.items()):
            problems += found
            progress(name, size)
    return Verification(len(artifact.manifest.files) + 1, tuple(problems))


#: What a copy from the Hub has besides: `unify push` puts the first there, the Hub the second.
_OF_THE_HUB = {"croissant.json", ".gitattributes"}


def _strangers(artifact: Artifact) -> Iterator[Problem]:
    named = {FILE, *artifact.manifest.files, *_OF_THE_HUB}
    for path in sorted(artifact.path.rglob("*")):
        name = path.relative_to(artifact.path).as_posix()
        if (path.is_symlink() or not path.is_dir()) and name not in named:
            yield Problem("not-verified", name, "is not named by the manifest", "remove it")


def damaged(artifact: Artifact) -> set[str]:
    """Names of the files that are missing or hold other bytes than were published."""
    with ThreadPoolExecutor() as pool:
        checks = pool.map(lambda item: _other_bytes(artifact.path / item[0], *item), artifact.manifest.files.items())
        return {problem.path for problem in checks if problem}


def _other_bytes(path: Path, name: str, file: File) -> Problem | None:
    if path.is_symlink() or not path.is_file():
        return Problem("not-verified", name, "is missing", _REBUILD)
    try:
        size, digest = storage.hash_file(path)
    except UnifyError as e:
        return Problem("not-verified", name, f"cannot be read ({e.problems[0].what})", _REBUILD)
    if size != file.size:
        return Problem("not-verified", name, f"has {size} bytes instead of {file.size}", _REBUILD)
    if digest != file.blake3:
        return Problem("not-verified", name, "holds other bytes than were published", _REBUILD)
    return None


def unreadable(path: Path) -> str | None:
    """Read every page of a Parquet file, a row group at a time; what is wrong with it, or None."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for group in range(file.num_row_groups):
                file.read_row_group(group, use_threads=False)
    except (OSError, pa.ArrowInvalid) as e:
        return f"cannot be read as Parquet ({e})"
    return None

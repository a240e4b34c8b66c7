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

_REBUILD = "build the version again, or restore the file from a copy"


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
        return name, file.size, list(_check_file(artifact.path / name, name, file))

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


def _check_file(path: Path, name: str, file: File) -> Iterator[Problem]:
    if path.is_symlink() or not path.is_file():
        yield Problem("not-verified", name, "is missing", _REBUILD)
        return
    try:
        size, digest = storage.hash_file(path)
    except UnifyError as e:
        yield Problem("not-verified", name, f"cannot be read ({e.problems[0].what})", _REBUILD)
        return
    if size != file.size:
        yield Problem("not-verified", name, f"has {size} bytes instead of {file.size}", _REBUILD)
    elif digest != file.blake3:
        yield Problem("not-verified", name, "holds other bytes than were published", _REBUILD)
    elif path.suffix == ".parquet" and (what := unreadable(path)):
        yield Problem("not-verified", name, what, _REBUILD)


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

"""A version on disk: find it, open it, load it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unify.errors import error
from unify.manifest import FILE, Manifest, version_key

if TYPE_CHECKING:
    import datasets
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from unify.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class Artifact:
    """A version: its folder and its manifest. Everything else is read when asked for."""

    path: Path
    manifest: Manifest

    @property
    def digest(self) -> str:
        """BLAKE3 hex digest of the manifest: two artifacts with one digest hold the same bytes."""
        return self.manifest.digest

    @property
    def taxonomy(self) -> Taxonomy:
        """The label space, every source's mapping into it, and the null masks."""
        from unify.taxonomy import Taxonomy

        return Taxonomy.from_json(json.loads(self.read("taxonomy.json")))

    @property
    def null_mask(self) -> NDArray[np.bool_]:
        """(S, K) bool: which of the K classes each of the S sources annotates at all."""
        return self.taxonomy.null_mask

    def stats(self) -> pa.Table:
        """Rows of source, split, class_id, class, pixels, images, instances: `stats.parquet`."""
        return self.table("stats.parquet")

    def inputs(self) -> pa.Table:
        """Every raw file with its size and BLAKE3, by sample: `inputs.parquet`."""
        return self.table("inputs.parquet")

    def table(self, name: str) -> pa.Table:
        """A Parquet file that the manifest names, page checksums checked."""
        import pyarrow.parquet as pq

        self._named(name)
        return pq.read_table(self.path / name, page_checksum_verification=True, partitioning=None)

    def read(self, name: str) -> bytes:
        """The bytes of a file that the manifest names."""
        self._named(name)
        try:
            return (self.path / name).read_bytes()
        except OSError as e:
            fix = "run `unify verify`, then build it again"
            raise error("bad-artifact", self.path / name, f"cannot be read: {e.strerror}", fix) from e

    def _named(self, name: str) -> None:
        if name not in self.manifest.files:
            raise error("bad-artifact", self.path / name, "is not part of this version", "see its manifest.json")


def open_artifact(path: str | Path) -> Artifact:
    """Open the version in the folder `path` (also offered as `unify.open`).

    Raises:
        UnifyError: not-found (66), bad-artifact (65), not-verified (76), newer-format (78).
    """
    folder = Path(path)
    file = folder / FILE
    try:
        data = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as e:
        fix = "give the folder of a version, such as out/cibm-union70/1.0.0 (see `unify list`)"
        raise error("not-found", folder, "holds no manifest.json", fix) from e
    except OSError as e:
        raise error("bad-artifact", file, f"cannot be read: {e.strerror}", "check the folder") from e
    return Artifact(folder, Manifest.from_json(data, str(file)))


def versions(folder: str | Path) -> list[Artifact]:
    """The versions directly in `<out>/<name>`, oldest number first. Folders of other names are passed over."""
    found = []
    for child in Path(folder).iterdir() if Path(folder).is_dir() else ():
        key = version_key(child.name)
        if key is not None and (child / FILE).is_file():
            found.append((key, child))
    return [open_artifact(child) for _, child in sorted(found)]


def list_artifacts(root: str | Path) -> Iterator[Artifact]:
    """Every version below `root` (`<root>/<name>/<version>`), by name, then number."""
    for folder in sorted(Path(root).iterdir()) if Path(root).is_dir() else ():
        if folder.is_dir() and not folder.name.startswith("."):
            yield from versions(folder)


def locate(path_or_name: str | Path, root: str | Path = "out", version: str | None = None) -> Artifact:
    """The version at a path, or by name below `root`: `version`, or else the newest.

    Raises:
        UnifyError: not-found (66), listing what there is.
    """
    path = Path(path_or_name)
    if version is None and (path / FILE).exists():
        return open_artifact(path)
    found = (versions(path) if path.is_dir() else []) or versions(Path(root) / path)  # raw data may have its name
    chosen = [a for a in found if version in (None, a.manifest.version)]
    if not chosen:
        from unify.spaces import did_you_mean

        there = [a.manifest for a in list_artifacts(root)]
        guess = did_you_mean(path.name, dict.fromkeys(m.name for m in there))
        known = ", ".join(f"{m.name} {m.version}" for m in there) or "none"
        wanted = f"{path_or_name}{f' {version}' if version else ''}"
        raise error("not-found", wanted, f"is no version{guess}; below {root} there is: {known}", "see `unify list`")
    return chosen[-1]


def load(
    path_or_name: str | Path,
    root: str | Path = "out",
    version: str | None = None,
    source: str = "union",
    **options: Any,
) -> datasets.DatasetDict:
    """Open a version as a Hugging Face dataset: `unify.load("cibm-union70")`.

    Args:
        path_or_name: the folder of a version, or a name below `root`.
        version: a version number; the newest if None.
        source: "union" for all sources, or the name of one.
        options: passed on to `datasets.load_dataset` (`streaming=True`, `columns=[...]`, `filters=[...]`).

    Returns:
        One dataset per split, with one attribute more than usual: `taxonomy`, the version's `Taxonomy`.

    Raises:
        UnifyError: not-found (66) and what `open_artifact` raises; usage (2) for an unknown source.
    """
    artifact = locate(path_or_name, root, version)
    known = ["union", *artifact.manifest.sources]
    if source not in known:
        raise error("usage", artifact.path, f"has no source {source!r}", f"choose one of {', '.join(known)}")
    import datasets

    loaded = datasets.load_dataset(str(artifact.path), source, **options)
    loaded.taxonomy = artifact.taxonomy
    return loaded

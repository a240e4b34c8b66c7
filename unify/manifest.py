"""The manifest: the file that makes a folder a version. Written last; readers open only what it names."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from blake3 import blake3

from unify.errors import error
from unify.plan import FORMAT

FILE = "manifest.json"
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


@dataclass(frozen=True, slots=True)
class File:
    """Size in bytes and BLAKE3 hex digest."""

    size: int
    blake3: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a version is and which files it is made of.

    `recipe` decides the pixels: taxonomy digest, adapters, options; of a version made from another also the
    `steps` from raw data to it and its `parent`. `plan` is the digest under which the work was done.
    """

    name: str
    version: str
    plan: str
    recipe: dict[str, Any]
    space: str
    classes: int
    columns: tuple[str, ...]
    sources: dict[str, dict[str, Any]]  # source -> {"release", "generated", "splits": {split: images}}
    images: int
    rejects: int
    parents: tuple[str, ...]  # digests of the versions this one was made from; none for raw data
    made_with: dict[str, str]
    files: dict[str, File]  # POSIX path -> size and digest, sorted

    @property
    def digest(self) -> str:
        """BLAKE3 of the canonical JSON of all fields: the version's identity."""
        return blake3(json.dumps(self._fields(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def content(self) -> dict[str, File]:
        """The files that hold data: what must be equal for two builds to be the same."""
        return {path: file for path, file in self.files.items() if path != "README.md"}

    def _fields(self) -> dict[str, Any]:
        return {"format": FORMAT, **dataclasses.asdict(self)}

    def to_json(self) -> bytes:
        return (json.dumps({**self._fields(), "digest": self.digest}, indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes, path: str) -> Manifest:
        """Read a manifest; `path` is for messages.

        Raises:
            UnifyError: newer-format (78), bad-artifact (65) or, if it was edited, not-verified (76).
        """
        try:
            fields = json.loads(data)
            version, digest = fields.pop("format"), fields.pop("digest")
            if version > FORMAT:
                raise error("newer-format", path, f"has format {version}", "update unify to read it")
            fields["files"] = {name: File(**file) for name, file in fields["files"].items()}
            for key in ("columns", "parents"):
                fields[key] = tuple(fields[key])
            manifest = cls(**fields)
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise error("bad-artifact", path, f"is not a manifest ({type(e).__name__}: {e})", "build it again") from e
        if manifest.digest != digest or manifest.to_json() != data:  # not one byte may differ
            raise error("not-verified", path, "was changed after it was written", "restore it or build it again")
        return manifest


def version_key(version: str) -> tuple[int, int, int] | None:
    """`"1.10.0"` → (1, 10, 0), for sorting; None if it is no version number."""
    match = _VERSION.fullmatch(version)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def next_version(
    previous: Manifest | None,
    previous_inputs: Mapping[str, tuple[str, ...]],
    recipe: Mapping[str, Any],
    inputs: Mapping[str, tuple[str, ...]],
) -> str:
    """The number after `previous` that says what changed.

    MAJOR when a pixel or label of a known sample may differ, or a sample or column is gone; MINOR when only
    samples or columns were added; PATCH when only the encoding changed. `inputs` maps sample_id to the BLAKE3
    of its image and label file, and of its file of instances where it has one.
    """
    if previous is None:
        return "1.0.0"
    key = version_key(previous.version)
    assert key is not None, "only versions are ever listed"
    major, minor, patch = key
    before, after = previous.recipe, recipe
    same_meaning = all(before.get(part) == after.get(part) for part in ("taxonomy", "adapters", "steps"))
    kept = all(inputs.get(sample, ())[: len(files)] == files for sample, files in previous_inputs.items())
    columns_kept = set(before["options"]) <= set(after["options"])
    if not (same_meaning and kept and columns_kept):
        return f"{major + 1}.0.0"
    if len(inputs) > len(previous_inputs) or before["options"] != after["options"]:
        return f"{major}.{minor + 1}.0"
    return f"{major}.{minor}.{patch + 1}"

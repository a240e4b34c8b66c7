"""unify: many segmentation datasets in, one versioned dataset with one label space out.

    import unify

    dataset = unify.load("cibm-union70")            # datasets.DatasetDict, with .taxonomy
    artifact = unify.open("out/cibm-union70/1.0.0")  # manifest, taxonomy, null masks, statistics

Names are loaded when first used, so that importing `unify` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from unify import codecs, errors, mapping, spaces, taxonomy
    from unify.artifact import Artifact, load
    from unify.artifact import open_artifact as open
    from unify.errors import UnifyError
    from unify.taxonomy import Taxonomy

__all__ = [
    "Artifact",
    "Taxonomy",
    "UnifyError",
    "codecs",
    "errors",
    "load",
    "mapping",
    "open",
    "spaces",
    "taxonomy",
]

#: public name -> (module, name in it); a module alone is offered whole.
_WHERE = {
    "Artifact": ("unify.artifact", "Artifact"),
    "Taxonomy": ("unify.taxonomy", "Taxonomy"),
    "UnifyError": ("unify.errors", "UnifyError"),
    "load": ("unify.artifact", "load"),
    "open": ("unify.artifact", "open_artifact"),
}
_MODULES = ("codecs", "errors", "mapping", "spaces", "taxonomy")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        module, attribute = _WHERE[name]
        return getattr(importlib.import_module(module), attribute)
    if name in _MODULES:
        return importlib.import_module(f"unify.{name}")
    raise AttributeError(f"module 'unify' has no attribute {name!r}")

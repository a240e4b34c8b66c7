"""Ways to train: a file each. Choose by name from `METHODS`."""

from __future__ import annotations

from trainers.methods import bce, ce, cpp, cr_bce, dropclass, nll_plus, null_bce, seethrough, uncertainty
from trainers.methods.method import Method, Step, Teaching
from unify.errors import error
from unify.spaces import did_you_mean

METHODS: dict[str, Method] = {
    "ce": ce.METHOD,
    "bce": bce.METHOD,
    "null-bce": null_bce.METHOD,
    "cr-bce": cr_bce.METHOD,
    "nll-plus": nll_plus.METHOD,
    "dropclass": dropclass.METHOD,
    "uncertainty": uncertainty.METHOD,
    "cpp": cpp.METHOD,
    "seethrough": seethrough.METHOD,
}


def method_named(name: str) -> Method:
    """Raises `UnifyError` (usage), listing the known ones."""
    if name not in METHODS:
        what = f"there is no method '{name}'{did_you_mean(name, METHODS)}"
        raise error("usage", "", what, f"known: {', '.join(METHODS)}")
    return METHODS[name]


__all__ = ["METHODS", "Method", "Step", "Teaching", "method_named"]

"""What importing costs, and what `unify` must never import."""

from __future__ import annotations

import subprocess
import sys
import time


def imported(code: str) -> set[str]:
    program = f"{code}\nimport sys; print('\\n'.join(sys.modules))"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    return {name.split(".")[0] for name in out.split()}


EVERY_MODULE = (
    "import importlib, pkgutil, unify\n"
    "for m in pkgutil.walk_packages(unify.__path__, 'unify.'): importlib.import_module(m.name)"
)


def test_unify_never_imports_torch_or_trainers():
    modules = imported(EVERY_MODULE)
    assert "pyarrow" in modules, "the walk must have reached the library"
    assert not modules & {"torch", "trainers"}


def test_the_guard_can_fail():
    assert "colorsys" in imported("import colorsys")


def test_import_unify_is_free_of_heavy_packages():
    assert not imported("import unify; unify.errors") & {"numpy", "pyarrow", "datasets", "cv2", "numba", "rich"}


def test_the_command_line_starts_light():
    assert not imported("import unify.cli") & {"numpy", "pyarrow", "datasets", "cv2", "numba", "PIL", "rich", "yaml"}


def test_help_is_quick():
    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "unify", "--help"], check=True, capture_output=True)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.3

"""torch's switches for a whole process: as a run needs them, and afterwards as they were."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from trainers.settings import Settings
from unify.errors import error

_CUBLAS = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  #: the first of the two values with which cuBLAS keeps an order


@contextmanager
def switched(settings: Settings) -> Iterator[None]:
    """Threads, deterministic operations, and cuDNN's search for the fastest convolution, as crops are of one size.

    To be entered before CUDA starts: cuBLAS reads its variable (NVIDIA, cuBLAS, "Results Reproducibility") once.

    Raises `UnifyError` (usage) for an operation that torch refuses with `deterministic`.
    """
    cudnn = torch.backends.cudnn
    threads, benchmark = torch.get_num_threads(), cudnn.benchmark
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    if settings.deterministic:
        os.environ.setdefault(*_CUBLAS)
    try:
        if settings.threads:
            torch.set_num_threads(settings.threads)
        torch.use_deterministic_algorithms(settings.deterministic)
        cudnn.benchmark = not settings.deterministic
        yield
    except RuntimeError as e:
        if not settings.deterministic or "deterministic" not in str(e):
            raise
        what = "its result depends on the order of sums"
        if "CuBLAS" in str(e):
            fix = f"set {'='.join(_CUBLAS)} before Python starts, or leave deterministic out"
            raise error("usage", "--set deterministic", f"torch refuses a matrix product: {what}", fix) from e
        operation = str(e).split(" ", 1)[0]
        fix = "leave it out, or take another net or method"
        raise error("usage", "--set deterministic", f"torch refuses {operation}: {what}", fix) from e
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        cudnn.benchmark = benchmark


@contextmanager
def of_any_size() -> Iterator[None]:
    """Without that search, which would begin anew with each size of image."""
    cudnn = torch.backends.cudnn
    benchmark, cudnn.benchmark = cudnn.benchmark, False
    try:
        yield
    finally:
        cudnn.benchmark = benchmark

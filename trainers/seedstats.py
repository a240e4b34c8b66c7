"""Several seeds of one experiment: mean and spread as tables print them, and whether two differ. No torch, no SciPy.

Runs are paired by seed where two ways were trained with the same seeds: what a seed does to both then drops out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

_SMALLEST = 1e-300
_CLOSE = 1e-15


def mean_std(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (n - 1); 0 for a single value."""
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, 0.0
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))


def printed(values: Sequence[float], digits: int = 2) -> str:
    """0.47±0.01, as the tables of the instance-uncertainty supplement have it."""
    mean, std = mean_std(values)
    return f"{mean:.{digits}f}±{std:.{digits}f}"


def mean_of_classes(iou: Mapping[str, float | None], classes: Sequence[str]) -> float | None:
    """The mean over those of `classes` that have a value; None if none has."""
    found = [value for name in classes if (value := iou.get(name)) is not None]
    return math.fsum(found) / len(found) if found else None


# --- Do two ways differ? ------------------------------------------------------------------------------------


def paired_t(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Student's t of the differences `other - one`, and its two-sided p with n - 1 degrees of freedom.

    p is 1 where all differences are 0, and 0 where they are all the same but not 0. At least two pairs.
    """
    mean, std = mean_std([b - a for a, b in zip(one, other, strict=True)])
    if std == 0:
        return (0.0, 1.0) if mean == 0 else (math.copysign(math.inf, mean), 0.0)
    n = len(one)
    t = mean / (std / math.sqrt(n))
    return t, _incomplete_beta((n - 1) / 2, 0.5, (n - 1) / (n - 1 + t * t))


def sign_flips(one: Sequence[float], other: Sequence[float]) -> float:
    """Exact two-sided p of the differences' sum under all 2^n choices of their signs; at best 2 / 2^n.

    It assumes nothing but that a seed favours neither way. Three seeds cannot give less than 0.25.
    """
    differences = [b - a for a, b in zip(one, other, strict=True)]
    seen = abs(math.fsum(differences)) - 1e-12
    signs = itertools.product((1, -1), repeat=len(differences))
    extreme = sum(abs(math.fsum(s * d for s, d in zip(row, differences, strict=True))) >= seen for row in signs)
    return float(extreme / 2 ** len(differences))


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularized I_x(a, b), by its continued fraction (Numerical Recipes, 3rd edition, section 6.4)."""
    if x in (0.0, 1.0):
        return x
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x > (a + 1) / (a + b + 2):
        return 1 - math.exp(log_front) * _fraction(b, a, 1 - x) / b
    return math.exp(log_front) * _fraction(a, b, x) / a


def _fraction(a: float, b: float, x: float) -> float:
    """Of `_incomplete_beta`, by Lentz's method."""
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    h = d
    for m in range(1, 500):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _away_from_zero(1 + term * d)
            c = _away_from_zero(1 + term / c)
            h *= c * d
        if abs(c * d - 1) < _CLOSE:
            break
    return h


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _SMALLEST else _SMALLEST

"""Statistics over seeds against SciPy, and against enumeration."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from trainers.seedstats import mean_of_classes, mean_std, paired_t, printed, sign_flips


def test_mean_and_spread_are_printed_as_in_the_tables():
    values = [0.4612, 0.4709, 0.4789]
    assert mean_std(values) == pytest.approx((statistics.mean(values), statistics.stdev(values)))
    assert printed(values) == "0.47±0.01" and printed([0.5], 3) == "0.500±0.000"


@pytest.mark.parametrize("n", [2, 3, 5, 10, 40])
@pytest.mark.parametrize("shift", [0.0, 0.3, 3.0, 30.0])
def test_the_paired_t_test_is_that_of_scipy(n, shift):
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(n)
    one = rng.normal(size=n)
    other = one + rng.normal(size=n) + shift
    expected = stats.ttest_rel(other, one)
    t, p = paired_t(one.tolist(), other.tolist())
    assert t == pytest.approx(float(expected.statistic), rel=1e-9)
    assert p == pytest.approx(float(expected.pvalue), rel=1e-8, abs=1e-14)


def test_the_paired_t_test_where_nothing_varies():
    assert paired_t([1.0, 2.0], [1.0, 2.0]) == (0.0, 1.0)
    assert paired_t([1.0, 2.0], [1.5, 2.5]) == (math.inf, 0.0)


def test_sign_flips_are_counted():
    # Of the eight sums of ±1 ±2 ±4 two are as far from 0 as 7, four as 5.
    assert sign_flips([0, 0, 0], [1, 2, 4]) == 2 / 8
    assert sign_flips([0, 0, 0], [-1, 2, 4]) == 4 / 8
    assert sign_flips([1.0, 1.0], [1.0, 1.0]) == 1.0
    assert sign_flips([0] * 10, [1] * 10) == 2 / 1024


def test_classes_that_do_not_occur_are_left_out():
    iou = {"road": 0.9, "rider": None, "train": 0.1}
    assert mean_of_classes(iou, ["road", "rider", "train"]) == pytest.approx(0.5)
    assert mean_of_classes(iou, ["rider"]) is None

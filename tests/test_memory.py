"""A worker's memory does not grow with the number of samples, and stays small at Mapillary's sizes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from . import layouts

CHILD = """
import resource, sys
from unify.cli import run
code = run(["build", "--datasets", "M", "--root", sys.argv[1], "--out", sys.argv[2], "-j", "1", "--json"])
assert code == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
def test_peak_memory_at_4032x3024(tmp_path):
    size = (4032, 3024)
    layouts.write_mapillary(tmp_path / "raw", train=1, val=1, size=(64, 48))
    rng = np.random.default_rng(0)
    smooth = rng.integers(0, 256, (size[1] // 16, size[0] // 16, 3), np.uint8)
    image = Image.fromarray(smooth).resize(size)
    ids_hw = np.asarray(Image.fromarray(smooth[..., 0] % 66).resize(size, Image.Resampling.NEAREST))
    old_image = next((tmp_path / "raw").rglob("training/images/*.jpg"))
    old_label = next((tmp_path / "raw").rglob("training/v1.2/labels/*.png"))
    image.save(old_image, quality=95)
    label = Image.fromarray(ids_hw).convert("P")
    label.putpalette(Image.open(old_label).getpalette())
    label.save(old_label)
    peaks = []
    for count in (4, 24):
        for i in range(count):
            for file in (old_image, old_label):
                copy = file.with_stem(f"{i:022d}")
                if not copy.exists():
                    copy.write_bytes(file.read_bytes())
        command = [sys.executable, "-c", CHILD, str(tmp_path / "raw"), str(tmp_path / f"out{count}")]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peaks.append(int(out.splitlines()[-1]))
    assert max(peaks) < 600e6, peaks
    assert peaks[1] < peaks[0] + 60e6, peaks

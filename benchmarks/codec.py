"""Label codec against Pillow and OpenCV: decode, relabel, encode; on one core, in memory.

    python -m benchmarks.codec [--rounds 20] [--json]

The maps look like streets and are as hard to compress as such maps are (PNGs of Pillow have about 50 KB
at 2048x1024). Every result is compared before it is timed. Rounds alternate between the three, so that a
noisy machine is noisy for all; medians are compared. What is read was written by Pillow with its defaults.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unify.codecs import check_image, encode_label, read_label, relabel_png

RESULTS = Path(__file__).parent / "results" / "codec.json"
TABLE = np.full(256, 255, np.uint8)  # as Cityscapes' 34 ids to its 19 classes: some joined, many void
TABLE[[7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]] = range(19)
NUM_MAPS = 3

Label = NDArray[np.uint8]
MapSource = Callable[[int, int], Iterator[Label]]  # (height, width) -> (H, W) ids


def street_labels(height: int, width: int, seed: int = 0) -> Label:
    """(H, W) ids 0..33: road in perspective, blocks of houses, leaves, and things at all distances."""
    rng = np.random.default_rng(seed)

    def field(cell_h: float, cell_w: float, how: int) -> NDArray[np.float64]:
        """(H, W) smooth noise in 0..1, one random value per cell."""
        values = rng.random((int(height / cell_h) + 2, int(width / cell_w) + 2))
        return cv2.resize(values, (width, height), interpolation=how)

    label = np.full((height, width), 23, np.uint8)  # sky
    horizon, vanishing = int(height * rng.uniform(0.38, 0.46)), int(width * rng.uniform(0.4, 0.6))
    x = 0
    while x < width:
        house = int(width * rng.uniform(0.02, 0.09))
        nearness = abs(x + house / 2 - vanishing) / (width / 2)
        top = int(horizon * (1 - rng.uniform(0.35, 1.0) * (0.25 + 0.75 * nearness)))
        cv2.rectangle(label, (x, top), (x + house, height), int(rng.choice([11, 11, 11, 12, 13])), -1)
        x += house
    leaves = (
        field(96, 64, cv2.INTER_CUBIC) + 0.35 * field(10, 10, cv2.INTER_CUBIC) + 0.12 * field(3, 3, cv2.INTER_LINEAR)
    )
    leaves[horizon + height // 20 :] = 0
    label[leaves > rng.uniform(0.98, 1.02)] = 21
    label[horizon + height // 24 :] = 22
    for id_, spread in ((22, 2.0), (8, 1.0), (7, 0.35)):
        corners = [
            (vanishing, horizon),
            (vanishing + 4, horizon),
            (width * (1 + spread), height),
            (-width * spread, height),
        ]
        cv2.fillPoly(label, [np.array(corners, np.int32)], id_)
    label[(label == 22) & (field(12, 24, cv2.INTER_CUBIC) > 0.75)] = 9
    for depth in np.sort(rng.uniform(0.04, 1, 110)):
        kind = rng.choice(["car", "person", "rider", "pole", "sign", "light"], p=[0.25, 0.25, 0.05, 0.2, 0.15, 0.1])
        foot, unit = int(horizon + depth**1.6 * (height * 0.9 - horizon)), height * (0.03 + depth**1.6) * 0.35
        draw_thing(label, rng, str(kind), int(rng.uniform(0, width)), foot, unit)
    cv2.ellipse(label, (width // 2, height), (int(width * 0.45), int(height * 0.09)), 0, 180, 360, 1, -1)
    label[:, :3] = label[:, -3:] = label[-3:] = 3
    return label


def draw_thing(label: Label, rng: np.random.Generator, kind: str, x: int, foot: int, unit: float) -> None:
    """Draw one object `unit` pixels high where it stands on the ground, at column x and row foot."""

    def disc(dx: float, dy: float, radius: float, id_: int, thickness: int = -1) -> None:
        cv2.circle(label, (int(x + dx * unit), int(foot - dy * unit)), max(1, int(radius * unit)), id_, thickness)

    def box(left: float, right: float, bottom: float, top: float, id_: int) -> None:
        start, end = (int(x + left * unit), int(foot - top * unit)), (int(x + right * unit), int(foot - bottom * unit))
        cv2.rectangle(label, start, end, id_, -1)

    if kind == "car":
        id_ = int(rng.choice([26, 26, 26, 27, 28]))
        outline = [
            (-0.5, 0),
            (-0.5, -0.5),
            (-0.35, -0.55),
            (-0.25, -1),
            (0.25, -1),
            (0.38, -0.55),
            (0.5, -0.45),
            (0.5, 0),
        ]
        corners = np.array(outline) * (1.1, 0.75) + rng.normal(0, 0.02, (8, 2))
        cv2.fillPoly(label, [(corners * unit + (x, foot)).astype(np.int32)], id_)
        disc(-0.33, 0, 0.11, id_)
        disc(0.33, 0, 0.11, id_)
    elif kind in ("person", "rider"):
        id_ = 24 if kind == "person" else 25
        axes = (max(1, int(0.09 * unit)), max(1, int(0.35 * unit)))
        cv2.ellipse(label, (x, int(foot - 0.35 * unit)), axes, rng.uniform(-8, 8), 0, 360, id_, -1)
        disc(0, 0.75, 0.06, id_)
        if kind == "rider":
            disc(-0.2, 0, 0.13, 33, max(1, int(0.03 * unit)))
            disc(0.2, 0, 0.13, 33, max(1, int(0.03 * unit)))
    else:
        box(0, 0.04, 0, 1.6, 17)
        if kind == "sign":
            disc(0, 1.5, 0.13, 20)
        elif kind == "light":
            box(-0.06, 0.06, 1.3, 1.6, 19)


def streets(height: int, width: int) -> Iterator[Label]:
    for seed in range(NUM_MAPS):
        yield street_labels(height, width, seed)


# --- The three ---


def pillow_read(data: bytes) -> Label:
    return np.asarray(Image.open(io.BytesIO(data)))


def pillow_write(ids_hw: Label) -> bytes:
    file = io.BytesIO()
    Image.fromarray(ids_hw).save(file, "PNG")
    return file.getvalue()


def pillow_write_palette(ids_hw: Label) -> bytes:
    image, file = Image.fromarray(ids_hw), io.BytesIO()
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tobytes())
    image.save(file, "PNG")
    return file.getvalue()


def opencv_read(data: bytes) -> Label:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def opencv_write(ids_hw: Label) -> bytes:
    return cv2.imencode(".png", ids_hw)[1].tobytes()


READ = {"unify": read_label, "pillow": pillow_read, "opencv": opencv_read}
RELABEL = {
    "unify": lambda data: relabel_png(data, TABLE)[0],  # and counts ids, which the others do not
    "pillow": lambda data: pillow_write(TABLE[pillow_read(data)]),
    "opencv": lambda data: opencv_write(cv2.LUT(opencv_read(data), TABLE)),
}
WRITE = {"unify": lambda ids_hw: encode_label(ids_hw)[0], "pillow": pillow_write, "opencv": opencv_write}


def medians_ms(ways: dict[str, Callable], inputs: list, rounds: int) -> dict[str, float]:
    """Median time of each way for one input; rounds alternate between the ways, the first is not counted."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(rounds + 1):
        for one in inputs:
            for name, way in ways.items():
                start = time.perf_counter()
                way(one)
                if round_:
                    times[name].append(time.perf_counter() - start)
    return {name: round(1e3 * statistics.median(t), 3) for name, t in times.items()}


def measure(height: int, width: int, palette: bool, maps: MapSource, rounds: int) -> dict[str, object]:
    labels = list(maps(height, width))
    new = [TABLE[ids_hw] for ids_hw in labels]
    files = [(pillow_write_palette if palette else pillow_write)(ids_hw) for ids_hw in labels]
    written = {name: [way(data) for data in files] for name, way in RELABEL.items()}
    for name, pngs in written.items():
        right = all(np.array_equal(pillow_read(png), due) for png, due in zip(pngs, new, strict=True))
        assert right or (name == "opencv" and palette), name  # OpenCV relabels the colours of a palette
    for data, ids_hw in zip(files, labels, strict=True):
        counts = relabel_png(data, TABLE)[1]
        assert np.array_equal(counts, np.bincount(ids_hw.ravel(), minlength=256))
    results: dict[str, object] = {
        "source_bytes": [len(data) for data in files],
        "written_bytes": {name: [len(png) for png in pngs] for name, pngs in written.items()},
    }
    for what, ways, inputs in (("relabel", RELABEL, files), ("read", READ, files), ("write", WRITE, new)):
        ms = medians_ms(ways, inputs, rounds)
        ratios = {name: round(ms[name] / ms["unify"], 1) for name in ways if name != "unify"}
        results[what] = {"ms": ms, "times_slower_than_unify": ratios}
    return results


def two_threads(label: Label, seconds: float = 1.0) -> float:
    """How many times as many files two threads relabel in the same time as one."""
    data = pillow_write(label)

    def files_done(num_threads: int) -> int:
        done = [0] * num_threads
        stop = time.perf_counter() + seconds

        def work(i: int) -> None:
            while time.perf_counter() < stop:
                relabel_png(data, TABLE)
                done[i] += 1

        threads = [threading.Thread(target=work, args=(i,)) for i in range(num_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(done)

    ratios = [files_done(2) / files_done(1) for _ in range(3)]
    return round(statistics.median(ratios), 2)


def check_speed(label: Label, rounds: int) -> dict[str, object]:
    """`check_image` on an RGB image written by OpenCV, in chunks of 8 KB."""
    noise = np.random.default_rng(0).integers(0, 12, (*label.shape, 3))
    rgb = (np.stack([label * 5, label * 3, label * 7], axis=-1) + noise).astype(np.uint8)
    data = cv2.imencode(".png", rgb)[1].tobytes()
    ms = medians_ms({"check_image": check_image}, [data], rounds)["check_image"]
    return {"bytes": len(data), "ms": ms, "gigabytes_per_s": round(len(data) / ms / 1e6, 1)}


def compile_seconds() -> dict[str, float]:
    """Time to the first file in a new process beyond the import of numba, without and with compiled code on disk."""
    code = (
        "import time, numba, numpy as np; from unify import codecs; start = time.perf_counter();"
        "codecs.read_label(codecs.encode_label(np.zeros((4, 4), np.uint8))[0]); print(time.perf_counter() - start)"
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"NUMBA_CACHE_DIR": folder}
        runs = [subprocess.check_output([sys.executable, "-c", code], env=environment, text=True) for _ in range(4)]
    cold, *warm = map(float, runs)
    return {"cold": round(cold, 2), "warm": round(statistics.median(warm), 2)}


def benchmark(maps: MapSource = streets, rounds: int = 20) -> dict[str, object]:
    """All measurements, on labels of `maps`."""
    cv2.setNumThreads(1)
    large = next(maps(1024, 2048))
    return {
        "command": f"python -m benchmarks.codec --rounds {rounds}",
        "machine": platform.machine(),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("numpy", "numba", "deflate", "pillow", "opencv-python")},
        "2048x1024 gray": measure(1024, 2048, False, maps, rounds),
        "1280x720 gray": measure(720, 1280, False, maps, rounds),
        "4032x3024 palette": measure(3024, 4032, True, maps, max(2, rounds // 5)),
        "two threads, times one": two_threads(large),
        "check_image": check_speed(large, rounds),
        "compile_s": compile_seconds(),
    }


def report(results: dict) -> None:
    print(f"{'':20}{'':9}{'unify':>9}{'Pillow':>17}{'OpenCV':>17}   ms, times slower")
    for case in ("2048x1024 gray", "1280x720 gray", "4032x3024 palette"):
        for what in ("relabel", "read", "write"):
            ms, ratios = results[case][what]["ms"], results[case][what]["times_slower_than_unify"]
            peers = "".join(f"{ms[name]:>9.2f} {ratios[name]:>6.1f}x" for name in ("pillow", "opencv"))
            wrong = "  (OpenCV's ids are wrong)" if "palette" in case and what != "write" else ""
            print(f"{case:20}{what:9}{ms['unify']:>9.2f}{peers}{wrong}")
        sizes = {name: statistics.mean(sizes) for name, sizes in results[case]["written_bytes"].items()}
        peers = "".join(f"{sizes[n] / 1e3:>9.1f} {sizes[n] / sizes['unify']:>6.2f}x" for n in ("pillow", "opencv"))
        print(f"{case:20}{'KB':9}{sizes['unify'] / 1e3:>9.1f}{peers}")
    check, compiling = results["check_image"], results["compile_s"]
    print(f"two threads relabel {results['two threads, times one']} times as many files as one")
    print(f"check_image: {check['ms']} ms for {check['bytes'] / 1e6:.1f} MB, {check['gigabytes_per_s']} GB/s")
    print(f"first file of a process: {compiling['cold']} s, {compiling['warm']} s once compiled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    args = parser.parse_args()
    results = benchmark(rounds=args.rounds)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    if args.json:
        print(json.dumps(results))
    else:
        report(results)


if __name__ == "__main__":
    main()

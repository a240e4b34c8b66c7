"""Erased sets: the PNG writer against Pillow's and OpenCV's, and a whole set against the plain way.

    python -m benchmarks.erase [--images 12] [--rounds 5] [--photos DIR]

Images are generated scenes at full size (Cityscapes' 2048x1024 PNG, BDD100K's 1280x720 JPEG), and, with
--photos, the PNGs and JPEGs of a folder. The road of each is erased. The plain way decodes with Pillow, masks with
numpy and saves with Pillow's defaults; both ways read from and write to Parquet rows in memory. Every result is
compared with the original before it is timed. Rounds alternate between the ways, medians are compared; one core.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unify.build import build
from unify.codecs_rgb import encode_rgb, read_rgb
from unify.derive import Record, Task, read_records
from unify.erase import MEAN, Erase, erasure
from unify.plan import plan_build
from unify.roots import resolve_roots
from unify.sample import write_streets
from unify.sources import SOURCES
from unify.taxonomy import taxonomy_for

RESULTS = Path(__file__).parent / "results" / "erase.json"
CASES = {"cityscapes": ("C", "2048x1024, PNG images"), "bdd100k": ("B", "1280x720, JPEG images")}
Pixels = NDArray[np.uint8]


def by_pillow(image: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def by_cv2(image: Pixels) -> bytes:
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


WRITERS: dict[str, Callable[[Pixels], bytes]] = {"unify": encode_rgb, "pillow": by_pillow, "cv2": by_cv2}


def plain_way(record: Record, road: int) -> bytes:
    """What a script would do with one row."""
    image = np.array(Image.open(io.BytesIO(record.image)).convert("RGB"))
    mask = np.asarray(Image.open(io.BytesIO(record.label))) == road
    image[mask] = MEAN
    return by_pillow(image)


def records_of(letter: str, source: str, images: int, folder: Path) -> tuple[list[Record], int]:
    """Rows of a version of generated scenes, and the id of its road."""
    streets = folder / f"streets-{source}"
    write_streets(streets, [letter], images=images, seed=0, size="full", workers=os.cpu_count() or 1)
    found = resolve_roots(letter, [str(streets)], environ={})
    release = SOURCES[source].releases[found[source].release]
    taxonomy = taxonomy_for({source: release.space}, {source: release.train_space}, "cityscapes19")
    version = build(plan_build(found, taxonomy, ["train"]), folder / "out").artifact
    tasks: Sequence[Task] = erasure(version, ["road"]).job.tasks(folder, folder)
    return [record for task in tasks for record in read_records(task)], taxonomy.space.index("road")


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare_writers(images: Sequence[Pixels], rounds: int) -> dict[str, object]:
    sizes = dict.fromkeys(WRITERS, 0)
    times: dict[str, list[float]] = {name: [] for name in WRITERS}
    for image in images:
        for name, write in WRITERS.items():
            data = write(image)
            sizes[name] += len(data)
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), image), name
    for _ in range(rounds):
        for name, write in WRITERS.items():
            times[name].append(seconds(lambda write=write: [write(image) for image in images]))
    return _summary(times, len(images), sizes)


def compare_rows(records: Sequence[Record], road: int, rounds: int) -> dict[str, object]:
    row = Erase((road,), "mean", "keep")
    ways: dict[str, Callable[[Record], bytes]] = {
        "unify": lambda record: bytes(row("", record).image),
        "pillow": lambda record: plain_way(record, road),
    }
    touched = [record for record in records if record.pixel_count[road]]
    sizes = dict.fromkeys(ways, 0)
    for record in touched:
        found = {name: way(record) for name, way in ways.items()}
        assert np.array_equal(read_rgb(found["unify"]), np.asarray(Image.open(io.BytesIO(found["pillow"]))))
        for name, data in found.items():
            sizes[name] += len(data)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(seconds(lambda way=way: [way(record) for record in touched]))
    return _summary(times, len(touched), sizes)


def _summary(times: dict[str, list[float]], images: int, sizes: dict[str, int]) -> dict[str, object]:
    ms = {name: 1e3 * statistics.median(found) / images for name, found in times.items()}
    others = [name for name in times if name != "unify"]
    return {
        "images": images,
        "ms_per_image": {name: round(value, 2) for name, value in ms.items()},
        "kb_per_image": {name: round(size / images / 1e3, 1) for name, size in sizes.items()},
        "times_faster_than": {name: round(ms[name] / ms["unify"], 1) for name in others},
        "size_of": {name: round(sizes["unify"] / sizes[name], 3) for name in others},
    }


def erased(record: Record, road: int) -> Pixels:
    return read_rgb(bytes(Erase((road,), "mean", "keep")("", record).image))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--photos", type=Path, help="a folder of PNG or JPEG images")
    args = parser.parse_args()
    results: dict[str, object] = {
        "command": f"python -m benchmarks.erase --images {args.images} --rounds {args.rounds}"
        + (" --photos DIR" if args.photos else "")
    }
    with tempfile.TemporaryDirectory() as folder:
        for source, (letter, what) in CASES.items():
            records, road = records_of(letter, source, args.images, Path(folder))
            images = [erased(record, road) for record in records]
            results[f"writing, {what}"] = compare_writers(images, args.rounds)
            results[f"decode, fill and write, {what}"] = compare_rows(records, road, args.rounds)
    if args.photos:
        files = sorted(p for p in args.photos.iterdir() if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
        images = [read_rgb(path.read_bytes()) for path in files[: args.images]]
        whole = compare_writers(images, args.rounds)
        for image in images:
            image[int(0.65 * len(image)) :] = MEAN
        results["writing, photographs"] = whole
        results["writing, photographs, lower third of one colour"] = compare_writers(images, args.rounds)
    for name, result in results.items():
        print(f"{name}: {json.dumps(result)}", flush=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

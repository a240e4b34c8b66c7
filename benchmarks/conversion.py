"""Raw folder to Parquet: `unify build` against `datasets`' own way, at equal process counts.

    python -m benchmarks.conversion [--scenes 24] [--rounds 5] [--processes 2] [--scratch /dev/shm]

The peer is what its documentation shows: `Image()` columns, `map` with a numpy lookup on the decoded
label, `to_parquet`; it leaves the image bytes alone, as we do. Ours does more in the same time: checks
every file's structure, hashes inputs and outputs, counts classes, syncs to disk. Each run is a process of
its own that converts the validation split first, so that imports and compilation are over, and then is
timed on the training split; the start of worker processes counts. Both read the same generated scenes from
the page cache, each scene under many names. Put `--scratch` into memory to compare programs, on a disk to
see the disk. Rounds alternate, medians are compared. Memory is made ready first (`benchmarks.memory`).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.memory import warm

RESULTS = Path(__file__).parent / "results" / "conversion.json"
CASES = {"cityscapes": "2048x1024, PNG images", "bdd100k": "1280x720, JPEG images"}
LETTERS = {"cityscapes": "C", "bdd100k": "B"}
NAMES = {
    "cityscapes": 60,
    "bdd100k": 160,
}  # under how many names each scene is there: about as many as the datasets have
WAYS = ("unify", "datasets")


def run_unify(source: str, streets: Path, out: Path, workers: int, split: str) -> None:
    from unify.cli import run

    options = ["--space", "union70", "--split", split, "-j", str(workers), "--json"]
    code = run(["build", "--datasets", LETTERS[source], "--root", str(streets), "--out", str(out), *options])
    assert code == 0, code


def run_datasets(source: str, streets: Path, out: Path, workers: int, split: str) -> None:
    import datasets
    import numpy as np
    from PIL import Image

    from unify.sources import SOURCES, detect_any
    from unify.taxonomy import taxonomy_for

    datasets.disable_progress_bars()
    (found,) = detect_any(streets / source)
    release = SOURCES[source].releases[found.release]
    table = taxonomy_for({source: release.space}, {source: release.train_space}, "union70").table(source)
    pairs = release.find(found.root, split).pairs
    rows = datasets.Dataset.from_dict({k: [str(found.root / getattr(p, k)) for p in pairs] for k in ("image", "label")})
    rows = rows.cast_column("image", datasets.Image()).cast_column("label", datasets.Image())

    def relabel(row: dict) -> dict:
        return {"label": Image.fromarray(table[np.asarray(row["label"])])}

    rows = rows.map(relabel, num_proc=workers if workers > 1 else None)
    rows.to_parquet(out / f"{split}.parquet")


def measure(way: str, source: str, streets: Path, workers: int, scratch: Path) -> tuple[float, int]:
    """Seconds for the training split in a fresh process, and the peak resident bytes of its largest process."""
    out = Path(tempfile.mkdtemp(dir=scratch))
    command = [sys.executable, "-m", "benchmarks.conversion", "--way", way, "--source", source]
    command += ["--streets", str(streets), "--out", str(out), "--processes", str(workers)]
    os.sync()  # nobody pays for writing back what another left behind
    done = subprocess.run(command, check=True, capture_output=True, env={**os.environ, "HF_HOME": str(out / "hf")})
    shutil.rmtree(out)
    seconds, peak = done.stdout.split()[-2:]
    return float(seconds), int(peak)


def multiply(root: Path, source: str) -> int:
    """Give each training pair its many names, by hard links; the number of pairs then."""
    from unify.sources import SOURCES, detect_any

    (found,) = detect_any(root)
    pairs = SOURCES[source].releases[found.release].find(found.root, "train").pairs
    for pair in pairs:
        for k in range(1, NAMES[source]):
            for file in (found.root / pair.image, found.root / pair.label):
                old = pair.sample_id.rpartition("/")[2]
                new = (
                    f"{old[:-13]}{1000 * k + int(old[-13:-7]):06d}{old[-7:]}"
                    if source == "cityscapes"
                    else f"{k:08x}{old[8:]}"
                )
                os.link(file, file.with_name(file.name.replace(old, new)))
    return len(pairs) * NAMES[source]


def compare(args: argparse.Namespace, scratch: Path) -> dict[str, object]:
    from unify.sample import write_streets

    results: dict[str, object] = {
        "command": f"python -m benchmarks.conversion --scenes {args.scenes} --rounds {args.rounds}"
        + (f" --scratch {args.scratch}" if args.scratch else "")
    }
    streets = scratch / "streets"
    write_streets(streets, list(LETTERS.values()), images=args.scenes, seed=0, size="full", workers=args.processes)
    for source, what in CASES.items():
        images = multiply(streets / source, source)
        for workers in sorted({1, args.processes}):
            runs: dict[str, list[tuple[float, int]]] = {way: [] for way in WAYS}
            for round_ in range(args.rounds + 1):
                for way in WAYS:
                    run = measure(way, source, streets, workers, scratch)
                    if round_:  # the first fills the page cache and compiles the kernels
                        runs[way].append(run)
            seconds = {way: statistics.median(s for s, _ in found) for way, found in runs.items()}
            ratio = seconds["datasets"] / seconds["unify"]
            name = f"{what}, {workers} process{'es' if workers > 1 else ''}"
            results[name] = {
                "images": images,
                "seconds": {way: [round(s, 3) for s, _ in found] for way, found in runs.items()},
                "peak_mb": {way: max(peak for _, peak in found) // 10**6 for way, found in runs.items()},
                "ratio": round(ratio, 2),
            }
            each = ", ".join(f"{way} {1e3 * s / images:.2f} ms/image" for way, s in seconds.items())
            print(f"{name}: {each}: {ratio:.1f}x", flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--scratch", type=Path, help="where to write; 10 GB are needed there")
    parser.add_argument("--warm-gb", type=int, default=8, help="memory to make ready")
    parser.add_argument("--way", choices=WAYS, help="run one way once, in this process")
    parser.add_argument("--source", choices=CASES)
    parser.add_argument("--streets", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.way:
        run = {"unify": run_unify, "datasets": run_datasets}[args.way]
        for folder, split in ((args.out / "warm", "val"), (args.out / "timed", "train")):
            folder.mkdir()
            start = time.perf_counter()
            run(args.source, args.streets, folder, args.processes, split)
            seconds = time.perf_counter() - start
        peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        print(seconds, max(peaks) * 1024)
        return
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch, warm(args.warm_gb << 30):
        RESULTS.write_text(json.dumps(compare(args, Path(scratch)), indent=1) + "\n")


if __name__ == "__main__":
    main()

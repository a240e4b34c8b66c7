"""The same training several times, and for several values of a setting: how far results are spread.

Han, Yoo and Oh, CVPR 2022, supplement: Tables 2 and 3 (ten runs of one seed, ten of random seeds) and Table 1 (ten
values of a weight). A run has a folder of its own; what is finished is not done again, what was interrupted goes on.

    OUT/repeat-00 ...                    OUT/summary.json
    OUT/aux_weight=0.1[/repeat-00] ...   OUT/table.json, OUT/table.png
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from trainers.settings import Settings
from unify import storage
from unify.errors import error

SUMMARY, TABLE, PICTURE = "summary.json", "table.json", "table.png"
MOST = 1000  #: values of a sweep
#: Trains a net of these settings into a folder, or goes on with it: what metrics.json holds.
Train = Callable[[Path, Settings], dict[str, Any]]
#: Settings with another value: the name and the text of it are given.
Change = Callable[[str, str], Settings]


# --- Numbers ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spread:
    """Of n values. variance: of the sample, with n - 1 (which one the paper prints is not said); 0 for one value."""

    n: int
    min: float
    max: float
    mean: float
    variance: float
    std: float


def spread(values: Sequence[float]) -> Spread:
    n = len(values)
    mean = math.fsum(values) / n
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1) if n > 1 else 0.0
    return Spread(n, min(values), max(values), mean, variance, math.sqrt(variance))


def printed(values: Spread) -> list[str]:
    """Min, max, average, variance and deviation in percent, with the digits of Table 2."""
    shares = [f"{100 * value:.2f}" for value in (values.min, values.max, values.mean)]
    return [*shares, f"{1e4 * values.variance:.4f}", f"{100 * values.std:.4f}"]


def seeds(first: int, count: int, *, same: bool) -> list[int]:
    """first, first + 1, ...: any seeds do as random ones, and these can be had again. `same`: the first, each time."""
    return [first if same else first + i for i in range(count)]


def parse_sweep(text: str) -> tuple[str, list[str]]:
    """ "aux_weight=0.1:1:0.1" (first, last, step) or "lr=0.1,0.01" -> name, values as text.

    Raises `UnifyError` (usage) for anything else.
    """
    name, equals, listed = text.partition("=")
    fix = "give NAME=FIRST:LAST:STEP or NAME=VALUE,VALUE"
    if not (name and equals and listed):
        raise error("usage", "--sweep", f"'{text}' names no values", fix)
    if ":" not in listed:
        values = [value.strip() for value in listed.split(",")]
    else:
        try:
            first, last, step = map(Decimal, listed.split(":"))
            count = int((last - first) / step) + 1 if step > 0 else 0  # of decimals, so that 0.3 is 0.3
        except (ValueError, InvalidOperation, ArithmeticError) as e:
            raise error("usage", "--sweep", f"'{listed}' is not FIRST:LAST:STEP", fix) from e
        if not 1 <= count <= MOST:
            raise error("usage", "--sweep", f"'{listed}' are {max(count, 0)} values, not 1 to {MOST}", fix)
        values = [f"{(first + i * step).normalize():f}" for i in range(count)]
    if not all(values) or len(set(values)) < len(values):
        raise error("usage", "--sweep", f"'{listed}' has an empty value, or one twice", fix)
    return name, values


# --- Runs ---------------------------------------------------------------------------------------------------


def repeat(train: Train, out: Path, settings: Settings, count: int, *, same_seed: bool) -> dict[str, Any]:
    """`count` runs into OUT/repeat-00, ...: what OUT/summary.json holds.

    Returns:
        {"runs": [{"path", "seed", "miou", "loss", "weights"}], "same_seed", "results": how many different ones, by
        the digest of the weights, "miou": the fields of `Spread`}. One seed on a CPU gives one result.

    Raises:
        UnifyError: usage (2) if there is nothing to score the nets on; what training raises.
    """
    runs = []
    for i, seed in enumerate(seeds(settings.seed, count, same=same_seed)):
        folder = out / f"repeat-{i:02d}"
        metrics = _scored(train(folder, dataclasses.replace(settings, seed=seed)), settings)
        runs.append({"path": str(folder), "seed": seed, **{key: metrics[key] for key in ("miou", "loss", "weights")}})
    found = {
        "method": settings.method,
        "model": settings.model,
        "same_seed": same_seed,
        "deterministic": settings.deterministic,
        "runs": runs,
        "results": len({run["weights"] for run in runs}),
        "miou": dataclasses.asdict(spread([run["miou"] for run in runs])),
    }
    _write(out / SUMMARY, found)
    return found


def sweep(
    train: Train,
    out: Path,
    change: Change,
    name: str,
    values: Sequence[str],
    *,
    count: int = 0,
    same_seed: bool = False,
) -> dict[str, Any]:
    """A run for each value, or `count` of them, into OUT/NAME=VALUE: what OUT/table.json holds.

    Settings are made, and so looked at, for all values before the first run.

    Returns:
        {"setting", "rows": [{"value", "path", "miou": the fields of `Spread`}]}; beside it the picture of it.
    """
    chosen = {value: change(name, value) for value in values}
    rows = []
    for value, settings in chosen.items():
        folder = out / f"{name}={value}".replace("/", "_")
        if count:
            of_value = repeat(train, folder, settings, count, same_seed=same_seed)["miou"]
        else:
            of_value = dataclasses.asdict(spread([_scored(train(folder, settings), settings)["miou"]]))
        rows.append({"value": value, "path": str(folder), "miou": of_value})
        found = {"setting": name, "method": settings.method, "model": settings.model, "rows": rows}
        _write(out / TABLE, found)  # after each value: there is something to see before the last
    _draw(out / PICTURE, found)
    return found


def _scored(metrics: dict[str, Any], settings: Settings) -> dict[str, Any]:
    if metrics["miou"] is None:
        what = f"there is no split '{settings.evaluate_split}' to score on"
        raise error("usage", "--repeat, --sweep", what, "--set evaluate_split=NAME, one that the version has")
    return metrics


def _leads() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _write(path: Path, value: Mapping[str, Any]) -> None:
    if _leads():
        storage.write_file(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def _draw(path: Path, found: dict[str, Any]) -> None:
    from trainers.repeat_plot import plot
    from unify.report.draw import encode

    if _leads():
        storage.write_file(path, encode(plot(found["setting"], found["rows"]), ".png"), durable=False)

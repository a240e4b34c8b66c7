"""Two processes train as one with twice the batch; a run of two goes on with the same bits."""

from __future__ import annotations

import csv
import os
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from trainers import checkpoint, distributed  # noqa: E402
from trainers.distributed import Group, SyncedBatchNorm, synced  # noqa: E402
from unify.build import build  # noqa: E402
from unify.errors import UnifyError  # noqa: E402
from unify.sample import write_streets  # noqa: E402

from .worlds import plan_of  # noqa: E402

GIVEN = ["model=tiny", "steps=5", "crop=64", "lr=0.002", "seed=3", "threads=1", "device=cpu", "save_every=2"]
SGD = ["optimizer=sgd", "lr=0.003"]


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streets")
    write_streets(folder / "raw", ["C", "I"], images=6, seed=1, size=0.1)
    return build(plan_of(folder / "raw", "C,I"), folder / "out").artifact.path


def trained(processes: int, version, out, *given: str, stop: int = 0) -> None:
    run = [sys.executable, "-m"]
    if processes > 1:
        run += ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    run += ["tests.distributed_run", str(version), str(out), str(stop), *GIVEN, *given]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(run, capture_output=True, text=True, timeout=240, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def column(out, name: str) -> list[float]:
    with (out / "log.csv").open() as file:
        return [float(line[name]) for line in csv.DictReader(file) if line[name]]


def test_two_processes_learn_what_one_with_twice_the_batch_does(version, tmp_path):
    """The tiny net has BatchNorm in every layer: without common statistics the curves part in the second step.

    By SGD: Adam divides by gradients, and makes much of the rounding of those near 0.
    """
    trained(2, version, tmp_path / "two", "batch=2", *SGD)
    trained(1, version, tmp_path / "one", "batch=4", *SGD)
    assert column(tmp_path / "two", "loss") == pytest.approx(column(tmp_path / "one", "loss"), rel=1e-5)
    assert column(tmp_path / "two", "miou") == pytest.approx(column(tmp_path / "one", "miou"), abs=1e-3)
    two, one = (checkpoint.load(tmp_path / name).weights for name in ("two", "one"))
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=2e-3, atol=2e-3, msg=name)


@pytest.mark.slow
def test_without_common_statistics_the_curves_part(version, tmp_path):
    trained(2, version, tmp_path / "two", "batch=2", "sync_bn=false", *SGD)
    trained(1, version, tmp_path / "one", "batch=4", *SGD)
    assert column(tmp_path / "two", "loss") != pytest.approx(column(tmp_path / "one", "loss"), rel=1e-3)


@pytest.mark.slow
def test_a_run_of_two_processes_goes_on_with_the_same_bits(version, tmp_path):
    trained(2, version, tmp_path / "whole", "batch=1")
    trained(2, version, tmp_path / "parts", "batch=1", stop=3)  # after the checkpoint of step 2
    trained(2, version, tmp_path / "parts", "batch=1")
    assert (tmp_path / "parts" / "log.csv").read_bytes() == (tmp_path / "whole" / "log.csv").read_bytes()
    parts, whole = (checkpoint.load(tmp_path / name).weights for name in ("parts", "whole"))
    assert all(torch.equal(parts[name], weight) for name, weight in whole.items())


def test_synced_norm_of_one_process_is_batchnorm(monkeypatch):
    """All reduction left out, the mean, the gradient and what is remembered are torch's."""
    monkeypatch.setattr(distributed.dist, "all_reduce", lambda tensor: None)
    plain = torch.nn.BatchNorm2d(5).double()
    torch.nn.init.normal_(plain.weight)
    torch.nn.init.normal_(plain.bias)
    other = synced(torch.nn.Sequential(plain), torch.device("cpu"))[0].double()
    assert type(other) is SyncedBatchNorm
    x = torch.randn(3, 5, 4, 6, dtype=torch.float64) * 3 + 1
    results = []
    for norm in (torch.nn.BatchNorm2d(5).double(), other):
        norm.load_state_dict(plain.state_dict())
        own = x.clone().requires_grad_()
        y = norm(own)
        (y * torch.arange(6)).square().sum().backward()
        norm.eval()
        results.append((y, own.grad, norm.weight.grad, norm.bias.grad, norm.running_var, norm.running_mean, norm(x)))
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


def test_norms_with_more_in_them_are_refused_on_a_cpu():
    class NormAct(torch.nn.BatchNorm2d):
        pass

    with pytest.raises(UnifyError, match="NormAct cannot be synchronized"):
        synced(torch.nn.Sequential(NormAct(3)), torch.device("cpu"))


def test_one_process_is_a_group_of_one():
    group = Group(torch.device("cpu"))
    module = torch.nn.Linear(1, 1)
    assert group.leads and group.total(2.5) == 2.5 and group.gathered("a") == ["a"] and group.shared(module) is module

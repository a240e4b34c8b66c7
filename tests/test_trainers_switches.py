"""Training as a GPU needs it, as far as a CPU can tell: switches, orders of sums, what is asked where."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from trainers import checkpoint, data, evaluate, loop, start, switches  # noqa: E402
from trainers.methods import METHODS  # noqa: E402
from trainers.ops import labels, order  # noqa: E402
from trainers.settings import settings_of  # noqa: E402
from unify.errors import UnifyError  # noqa: E402

from . import nets  # noqa: E402
from .worlds import tiny_streets  # noqa: E402

GIVEN = {"model": "cosine", "steps": 3, "batch": 2, "crop": 32, "lr": 0.01, "evaluate_split": "none", "device": "cpu"}


@pytest.fixture(autouse=True)
def tiny_nets(monkeypatch):
    nets.install(monkeypatch.setitem)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return tiny_streets(tmp_path_factory.mktemp("streets"), images=3)


def train(artifact, out, method="ce", **given):
    return loop.train([artifact], out, settings_of(method, {**GIVEN, **given}))


# --- Switches -----------------------------------------------------------------------------------------------


def state():
    threads, benchmark = torch.get_num_threads(), torch.backends.cudnn.benchmark
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    return threads, torch.are_deterministic_algorithms_enabled(), warn_only, benchmark


def test_a_run_leaves_the_switches_as_it_found_them(artifact, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before, within = state(), []
    step_of = METHODS["ce"].loss
    monkeypatch.setitem(
        METHODS, "ce", dataclasses.replace(METHODS["ce"], loss=lambda *a: (within.append(state()), step_of(*a))[1])
    )
    train(artifact, tmp_path / "a", deterministic=True, threads=2)
    train(artifact, tmp_path / "b", steps=1)
    assert within[0] == (2, True, False, False) and within[-1] == (1, False, False, True) and state() == before
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    with pytest.raises(UnifyError):
        train(artifact, tmp_path / "c", deterministic=True, lr=1e38, optimizer="sgd", model="plain")
    assert state() == before


def test_what_the_user_set_for_cublas_stays(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with switches.switched(settings_of("ce", {"deterministic": True})):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("nll_loss2d_forward_out_cuda_template does not have a deterministic implementation, but you", "nll_loss2d"),
        ("Deterministic behavior was enabled with either `torch.use_deterministic_algorithms(True)` or "
         "`at::Context::setDeterministicAlgorithms(true)`, but this operation is not deterministic because it uses "
         "CuBLAS and you have CUDA >= 10.2.", "CUBLAS_WORKSPACE_CONFIG=:4096:8"),
    ],
)  # fmt: skip
def test_an_operation_without_an_order_is_one_line(artifact, tmp_path, monkeypatch, said, named):
    def refused(*args):
        raise RuntimeError(said)

    monkeypatch.setitem(METHODS, "ce", dataclasses.replace(METHODS["ce"], loss=refused))
    with pytest.raises(UnifyError) as caught:
        train(artifact, tmp_path / "a", deterministic=True)
    (line,) = str(caught.value).splitlines()
    assert named in line and "--set deterministic" in line and caught.value.exit_code == 2
    with pytest.raises(RuntimeError):
        train(artifact, tmp_path / "b")


def test_scoring_does_not_search_anew_for_each_size(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    with switches.of_any_size():
        assert not torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.benchmark


# --- Devices ------------------------------------------------------------------------------------------------


def test_a_device_that_is_not_there_is_named_by_its_option(artifact, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert evaluate.device_named("auto") == torch.device("cuda") == evaluate.device_named("cuda")  # nothing starts
    for name in ("cuda:1", "gpu"):
        with pytest.raises(UnifyError, match="--set device"):
            train(artifact, tmp_path, device=name)
        with pytest.raises(UnifyError, match="--device"):
            evaluate.device_named(name)


def test_a_run_on_the_cpu_asks_no_gpu(artifact, tmp_path, monkeypatch):
    def asked(*args):
        raise AssertionError("a GPU was started")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name in ("get_rng_state", "set_rng_state", "_lazy_init", "set_device"):
        monkeypatch.setattr(torch.cuda, name, asked)
    for name in ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check"):  # torch's own question
        monkeypatch.setattr(torch.optim.Optimizer, name, lambda self: None, raising=False)
    train(artifact, tmp_path, steps=2, save_every=1)
    assert set(torch.load(tmp_path / "ckpt.pt", weights_only=True)["training"]["random"][0]) == {"cpu"}


def test_the_random_state_is_that_of_the_run_s_own_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: f"of {device}")
    assert loop._cuda_state(torch.device("cuda", 1)) == {"cuda": "of cuda:1"}


def test_float16_needs_a_gpu(artifact, tmp_path):
    with pytest.raises(UnifyError, match="float16 is for GPUs"):
        train(artifact, tmp_path, precision="float16")


def test_processes_of_two_seeds_share_no_seed():
    seeds = [start.seed_of(seed, rank) for seed in range(40) for rank in range(40)]
    assert len(set(seeds)) == len(seeds) and start.seed_of(3, 1) == start.seed_of(3, 1)


# --- Orders of sums -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("void", [255, -1])
def test_cross_entropy_with_an_order(void):
    torch.manual_seed(0)
    x = (8 * torch.randn(2, 5, 7, 6)).requires_grad_()
    y = torch.randint(0, 5, (2, 7, 6)).masked_fill(torch.rand(2, 7, 6) < 0.3, void)
    weight = torch.rand(2, 7, 6)
    found = order.cross_entropy_map(x, y, void)
    expected = F.cross_entropy(x, y, ignore_index=void, reduction="none")
    assert torch.allclose(found, expected, atol=1e-5)
    gradients = [torch.autograd.grad((each * weight).sum(), x)[0] for each in (found, expected)]
    assert torch.allclose(*gradients, atol=1e-6)


def test_classes_that_are_out_of_the_question_have_no_gradient():
    x = torch.tensor([0.0, -torch.inf, 1.0]).view(1, 3, 1, 1).repeat(1, 1, 1, 2).requires_grad_()
    order.cross_entropy_map(x, torch.tensor([[[2, 255]]])).sum().backward()
    assert torch.isfinite(x.grad).all() and not x.grad[..., 1].any()


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
@pytest.mark.parametrize("size", [(6, 6), (12, 7), (5, 3), (16, 33)])
def test_pools_by_matrices(bins, size):
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    found, expected = order.pooled(x, bins), F.adaptive_avg_pool2d(x, bins)
    weight = torch.randn_like(expected)
    assert torch.allclose(found, expected)
    assert torch.allclose(*(torch.autograd.grad((each * weight).sum(), x)[0] for each in (found, expected)))


def test_where_an_order_is_needed_it_is_kept(monkeypatch):
    """Losses and pools as on a GPU in that mode: torch's own are not called, and the values are theirs."""
    from trainers.methods.uncertainty import weighted_cross_entropy
    from trainers.ops import softmax

    x, y = torch.randn(2, 5, 8, 8), torch.randint(0, 5, (2, 8, 8), dtype=torch.uint8)
    pool = order.with_order(nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Sequential(nn.AdaptiveAvgPool2d(1))))
    assert type(pool[0]) is order.AveragePool and type(pool[1][0]) is nn.AdaptiveAvgPool2d
    codes = torch.ones(2, 5, dtype=torch.bool)
    ways = {
        "ce": lambda: softmax.cross_entropy(x, y),
        "merged": lambda: softmax.merged_softmax(x, y, codes),
        "weighted": lambda: weighted_cross_entropy(x, y, None, 1.0),
        "pool": lambda: pool[0](x),
    }
    expected = {name: way() for name, way in ways.items()}

    def refused(*args, **options):
        raise RuntimeError("does not have a deterministic implementation")

    for module in ("trainers.ops.softmax", "trainers.methods.uncertainty", "trainers.ops.order"):
        monkeypatch.setattr(f"{module}.needs_order", lambda x: True)
    monkeypatch.setattr(F, "cross_entropy", refused)
    monkeypatch.setattr(F, "adaptive_avg_pool2d", refused)
    for name, way in ways.items():
        assert torch.allclose(way(), expected[name], rtol=1e-5, atol=1e-6), name


def test_only_gpus_in_that_mode_need_it():
    class OnGpu:
        is_cuda = True

    assert not order.needs_order(OnGpu())
    with switches.switched(settings_of("ce", {"deterministic": True})):
        assert order.needs_order(OnGpu()) and not order.needs_order(torch.zeros(1))


#: What torch 2.13 refuses on a GPU with deterministic algorithms, by its names (its documentation has them in words).
REFUSED = {
    *("nll_loss2d_forward", "nll_loss2d_backward", "_adaptive_avg_pool2d_backward", "adaptive_max_pool2d_backward"),
    *("upsample_linear1d_backward", "upsample_bilinear2d_backward", "upsample_bicubic2d_backward", "kthvalue"),
    *("_upsample_bilinear2d_aa_backward", "reflection_pad2d_backward", "grid_sampler_2d_backward", "histc", "cumsum"),
    *("median", "put_", "put", "avg_pool3d_backward", "fractional_max_pool2d_backward", "_embedding_bag"),
}


class Seen(TorchDispatchMode):
    """The names of all operations, those of the backward pass too."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def enlarged(x, size, align_corners, factors=None):
    """What F.interpolate does itself elsewhere than on a CPU, where an order is needed."""
    from torch._decomp.decompositions import _upsample_linear_vec

    return _upsample_linear_vec(x, size, align_corners, factors)


TINY = {
    **{name: {} for name in ("ce", "bce", "null-bce", "nll-plus", "dropclass", "cpp")},
    "cpp nearest": {"aux": "nearest"},
    "uncertainty": {"model": "tiny+tiny"},
    "seethrough": {"model": "seethrough-tiny"},
}
NETS = ("pspnet-mobilenetv2", "upernet-mobilenetv2", "deeplabv3plus-mobilenetv2", "deeplabv3-resnet50",
        "fcn-mobilenetv2", "segformer-b0", "hrnet-w18-small-v1", "hrnet-w18-small-v1-headv1")  # fmt: skip


@pytest.mark.parametrize(
    ("way", "given"), [*TINY.items(), *((f"ce {name}", {"model": name, "crop": 96, "steps": 1}) for name in NETS)]
)
def test_no_step_has_an_operation_that_is_refused_on_a_gpu(artifact, tmp_path, monkeypatch, way, given):
    if given.get("model") in NETS:
        pytest.importorskip("segmentation_models_pytorch")
    monkeypatch.undo()  # the nets of `trainers.models`
    for module in ("trainers.ops.softmax", "trainers.methods.uncertainty", "trainers.ops.order"):
        monkeypatch.setattr(f"{module}.needs_order", lambda x: True)
    monkeypatch.setattr("trainers.ops.dropclass_both._in_tiles", lambda *args: False)  # they are for CPUs
    monkeypatch.setattr(torch._C._nn, "upsample_bilinear2d", enlarged)
    with Seen() as seen:
        train(artifact, tmp_path, way.partition(" ")[0], **{"model": "tiny", "deterministic": True, **given})
    assert "convolution_backward" in seen.names and not seen.names & REFUSED


# --- What is asked where ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["ce", "bce", "null-bce", "nll-plus"])
def test_labels_are_counted_once_a_step_and_on_the_cpu(artifact, tmp_path, monkeypatch, method):
    """Whatever a loss looks at to decide something is there already."""
    counted = []
    honest = labels.count_labels

    def count(labels_bhw, num_codes, void):
        counted.append(labels_bhw.device.type)
        return honest(labels_bhw, num_codes, void)

    for module in ("trainers.loop", "trainers.ops.softmax", "trainers.ops.bce"):
        monkeypatch.setattr(f"{module}.count_labels", count)
    train(artifact, tmp_path, method, accumulate=2)
    assert counted == ["cpu"] * 6


def test_a_loss_with_given_counts_does_not_look_at_the_labels():
    """Tensors without values stand for a GPU whose queue is long: what has to be known of one raises there."""
    from trainers.methods import Step
    from trainers.methods.method import Teaching

    settings = settings_of("ce", GIVEN)
    batch = data.Batch(
        torch.empty(2, 3, 8, 8, dtype=torch.uint8, device="meta"),
        torch.empty(2, 8, 8, dtype=torch.uint8, device="meta"),
        torch.ones(2, 5, dtype=torch.bool),
        torch.zeros(2, dtype=torch.int64),
        torch.zeros(2, dtype=torch.int64),
    )
    targets, counts = torch.eye(5, dtype=torch.bool)[None], torch.full((2, 5), 12)
    teaching = Teaching(None, targets, targets)
    normalizer = torch.empty((), device="meta")
    step = Step(batch, batch.label_bhw, teaching, normalizer, settings, 0, counts)
    net = nn.Conv2d(3, 5, 1, device="meta")
    for name in ("ce", "nll-plus", "null-bce", "cr-bce", "bce"):
        module = __import__(f"trainers.methods.{name.replace('-', '_')}", fromlist=["loss"])
        loss = module.loss(net(data.normalized(batch.image_bchw)), step)
        assert loss.device.type == "meta", name


def test_small_tables_stay_on_the_cpu():
    tables = torch.ones(1, 5, dtype=torch.bool), torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    image, label = torch.zeros(1, 3, 4, 4, dtype=torch.uint8), torch.zeros(1, 4, 4, dtype=torch.uint8)
    moved = data.Batch(image, label, *tables).to("meta", torch.channels_last)
    assert [t.device.type for t in moved if t is not None] == ["meta", "meta", "cpu", "cpu", "cpu"]
    assert moved.image_bchw.is_contiguous(memory_format=torch.channels_last) and moved.weight_bhw is None


def test_mean_and_deviation_are_made_once():
    with torch.inference_mode():
        data._mean_and_std.cache_clear()
        data.normalized(torch.zeros(1, 3, 2, 2, dtype=torch.uint8))
    x = data.normalized(torch.zeros(1, 3, 2, 2, dtype=torch.uint8)).requires_grad_()
    (x * data._mean_and_std(x.device)[0]).sum().backward()
    assert data._mean_and_std.cache_info().misses == 1 and not x.grad.is_inference()


def test_images_come_in_order_from_threads(artifact):
    from unify.draws.index import build_index

    samples = data.Samples(build_index([artifact]), None)
    rows = np.array([*range(len(samples)), 0, 3, 3])
    for found, row in zip(data.in_order(samples, rows), rows, strict=True):
        one = samples[int(row)]
        assert found.row == row and torch.equal(found.image_chw, one.image_chw)
        assert torch.equal(found.label_hw, one.label_hw)
    assert next(data.in_order(samples, rows)).row == rows[0]  # the rest is not asked for


def test_what_cannot_be_read_is_told_when_it_is_its_turn(artifact, monkeypatch):
    from unify.draws.index import build_index

    samples = data.Samples(build_index([artifact]), None)
    honest = samples._decoded

    def broken(row):
        if row == 2:
            raise samples._unreadable(row, "is torn")
        return honest(row)

    monkeypatch.setattr(samples, "_decoded", broken)
    seen = []
    with pytest.raises(UnifyError, match="is torn"):
        seen.extend(sample.row for sample in data.in_order(samples, np.arange(4)))
    assert seen == [0, 1]


# --- Clipping, order in memory, decay -----------------------------------------------------------------------


def test_clipped_gradients_are_as_long_as_allowed(artifact, tmp_path):
    """One step of plain SGD moves the weights by lr times the clipped length."""
    given = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "steps": 1, "model": "plain", "lr": 0.5}
    torch.manual_seed(0)
    before = nets.build("plain", len(artifact.taxonomy.space.names))
    moved = {}
    for clip in (0.0, 0.01, 1e6):
        train(artifact, tmp_path / str(clip), clip=clip, **given)
        after = checkpoint.load(tmp_path / str(clip)).weights
        moves = [(after[name] - weight.detach()).flatten() for name, weight in before.named_parameters()]
        moved[clip] = torch.cat(moves)
    assert moved[0.01].norm().item() == pytest.approx(0.5 * 0.01, rel=1e-3)
    assert torch.equal(moved[0.0], moved[1e6]) and moved[0.0].norm() > 0.1
    assert F.cosine_similarity(moved[0.01], moved[0.0], dim=0).item() == pytest.approx(1, abs=1e-4)
    with pytest.raises(UnifyError, match="clip is -1"):
        settings_of("ce", {"clip": "-1"})


def test_float16_scales_losses_and_goes_on_with_the_same_bits(artifact, tmp_path, monkeypatch):
    """On a CPU, where it is slow and refused: the first updates overflow and are passed over, then it learns."""
    monkeypatch.setattr(start, "refuse_float16_on_a_cpu", lambda settings, device: None)
    given = {"optimizer": "sgd", "precision": "float16", "steps": 24, "save_every": 1, "clip": 1.0, "lr": 0.05}
    done = []

    def advance(steps, size):
        done.append(steps)
        if len(done) == 14:
            raise KeyboardInterrupt

    chosen = settings_of("ce", {**GIVEN, **given})
    whole = loop.train([artifact], tmp_path / "whole", chosen)
    with pytest.raises(KeyboardInterrupt):
        loop.train([artifact], tmp_path / "run", chosen, advance=advance)
    found = loop.train([artifact], tmp_path / "run", chosen, resume=True)
    assert found["weights"] == whole["weights"] and found["loss"] == whole["loss"]
    scaler = torch.load(tmp_path / "run/ckpt.pt", weights_only=True)["training"]["scaler"]
    passed_over = np.log2(2.0**16 / scaler["scale"])
    assert passed_over in range(1, 12) and scaler["_growth_tracker"] in range(1, 24)
    loop.train([artifact], tmp_path / "plain", settings_of("ce", {**GIVEN, **given, "precision": "float32"}))
    halves, floats = (losses_in(tmp_path / name) for name in ("run", "plain"))
    assert halves[0] != floats[0] and halves[0] == pytest.approx(floats[0], rel=0.01)
    assert np.mean(halves[-3:]) < np.mean(halves[:3])


def losses_in(out):
    return [float(line.split(",")[2]) for line in (out / "log.csv").read_text().splitlines()[1:]]


def test_the_order_in_memory_changes_digits_alone(artifact, tmp_path):
    given = {"optimizer": "sgd", "weight_decay": 0.0}
    losses = [train(artifact, tmp_path / str(last), channels_last=last, **given)["loss"] for last in (False, True)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    one, other = (checkpoint.load(tmp_path / name).weights for name in ("False", "True"))
    assert all(weight.is_contiguous() for weight in other.values())
    assert all(torch.allclose(one[name].double(), other[name].double(), atol=1e-3) for name in one)
    with pytest.raises(UnifyError, match="channels_last was True"):
        loop.train([artifact], tmp_path / "True", settings_of("ce", {**GIVEN, **given}), resume=True)


def test_images_and_weights_have_that_order(artifact, tmp_path, monkeypatch):
    seen = []

    def watched(net, parts, step):
        weight = next(p for p in net.parameters() if p.ndim == 4 and min(p.shape[1:]) > 1)
        seen.extend(x.is_contiguous(memory_format=torch.channels_last) for x in (weight, step.batch.image_bchw))
        return honest(net, parts, step)

    honest = METHODS["ce"].loss
    monkeypatch.setitem(METHODS, "ce", dataclasses.replace(METHODS["ce"], loss=watched))
    train(artifact, tmp_path, channels_last=True, steps=1)
    assert seen == [True, True]


def test_norms_and_biases_can_do_without_decay():
    net = nets.build("plain", 5)
    plain, split = (
        start.optimizer_of(net, None, settings_of("ce", {"weight_decay": 0.1, "decay_all": every})).param_groups
        for every in (True, False)
    )
    assert {group["weight_decay"] for group in plain} == {0.1}
    decays = {id(p): group["weight_decay"] for group in split for p in group["params"]}
    assert {decays[id(p)] for p in net.parameters() if p.ndim <= 1} == {0.0}
    assert {decays[id(p)] for p in net.parameters() if p.ndim > 1} == {0.1}

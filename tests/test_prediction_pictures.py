"""Pictures of predictions: every panel against a rule for a single pixel, and the command that draws them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from PIL import Image

from unify.report.draw import LINES, colors_of, hatched, labels
from unify.report.prediction import (
    RIGHT,
    UNSCORED,
    VOID,
    WRONG,
    Lit,
    Prediction,
    draw_prediction,
    errors_rgb,
    heat_rgb,
    lit_rgb,
)
from unify.spaces import LabelClass, LabelSpace

COLORS = {"road": (128, 64, 128), "sky": (70, 130, 180), "car": (0, 0, 142)}
SPACE = LabelSpace("three", tuple(LabelClass(i, n, c) for i, (n, c) in enumerate(COLORS.items())))
NETS = LabelSpace("two", (LabelClass(0, "lane", (255, 255, 255)), LabelClass(1, "rider", (255, 0, 0))))


def made(seed=0, shape=(24, 36), lit=None) -> Prediction:
    rng = np.random.default_rng(seed)
    truth = rng.choice([0, 1, 2, 3, VOID], shape, p=[0.4, 0.2, 0.2, 0.1, 0.1]).astype(np.uint8)
    answer = np.where(rng.random(shape) < 0.7, np.minimum(truth, 2), rng.integers(0, 3, shape)).astype(np.uint8)
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    return Prediction("cityscapes", "cityscapes/val/aachen_1", image, truth, answer, SPACE, lit)


def lit_of(shape=(24, 36)) -> Lit:
    rng = np.random.default_rng(5)
    best = rng.choice([0, 1, VOID], shape).astype(np.uint8)
    return Lit("sigmoid", 0.5, NETS, best, {"lane": 0.3, "rider": 0.0004}, {"lane": "road", "rider": "car"},
               {"lane": rng.random(shape)})  # fmt: skip


def labels_rgb(ids_hw: np.ndarray) -> np.ndarray:
    return np.asarray(labels(ids_hw, colors_of(SPACE), ids_hw.shape[::-1]))


# --- Panels ---------------------------------------------------------------------------------------------------


def test_errors_are_red_where_wrong_white_where_right_and_gray_where_nothing_is_scored():
    prediction = made()
    found = errors_rgb(prediction).astype(int)
    for y, x in np.ndindex(prediction.truth_hw.shape):
        truth, answer = int(prediction.truth_hw[y, x]), int(prediction.answer_hw[y, x])
        r, g, b = (int(v) for v in prediction.image_hwc[y, x])
        shade = 1 - 0.24 * (1 - (0.299 * r + 0.587 * g + 0.114 * b) / 255)
        flat = RIGHT if truth == answer else WRONG
        expected = UNSCORED if truth >= 3 else tuple(v * shade for v in flat)
        assert all(abs(f - e) <= 0.51 for f, e in zip(found[y, x], expected, strict=True))


def test_labels_have_the_colours_of_their_space_and_void_has_lines():
    prediction = made()
    found = labels_rgb(prediction.truth_hw)
    table = [*COLORS.values(), UNSCORED]
    for (y, x), code in np.ndenumerate(prediction.truth_hw):
        void = LINES if (x + y) % 8 == 0 else (0, 0, 0)
        assert tuple(found[y, x]) == (void if code == VOID else table[code])


def test_lines_are_as_light_as_void_is_much():
    found = hatched(np.full((1, 16, 3), 40, np.uint8), np.array([[1.0] * 8 + [0.5] * 8]))
    assert found[0, 0].tolist() == [40 + v for v in LINES] and found[0, 8].tolist() == [40 + v // 2 for v in LINES]
    assert (np.delete(found[0], [0, 8], axis=0) == 40).all()


def test_a_class_that_is_black_is_not_void():
    """As Pascal VOC's background."""
    palette = np.zeros((256, 3), np.uint8)
    assert not np.asarray(labels(np.zeros((9, 9), np.uint8), palette, (9, 9))).any()
    assert np.asarray(labels(np.full((9, 9), VOID, np.uint8), palette, (3, 3))).any(), "small tiles have lines, too"


def test_lit_classes_have_their_colours_and_the_rest_is_gray():
    prediction, lit = made(), lit_of()
    found = lit_rgb(prediction.image_hwc, lit).astype(int)
    for (y, x), code in np.ndenumerate(lit.best_hw):
        r, g, b = (int(v) for v in prediction.image_hwc[y, x])
        gray = (0.299 * r + 0.587 * g + 0.114 * b) / 255
        color = (255 * gray * 0.45,) * 3
        if code != VOID:
            color = tuple(v * (0.82 + 0.18 * gray) for v in NETS.classes[code].color)
        assert all(abs(f - e) <= 0.51 for f, e in zip(found[y, x], color, strict=True))


def test_heat_rises_with_the_probability_and_survives_what_is_none():
    ramp = np.linspace(-0.5, 1.5, 41)[None].repeat(2, 0)
    image = np.full((2, 41, 3), 90, np.uint8)
    light = heat_rgb(image, ramp).astype(int) @ [0.299, 0.587, 0.114]
    assert (np.diff(light[0, 10:31]) > 0).all() and light[0, 0] == light[0, 10] and light[0, 40] == light[0, 30]
    assert heat_rgb(image, np.ones((2, 41), np.float32)).max() < 256


def test_names_of_files_have_no_slash():
    assert made().name == "cityscapes-val-aachen_1"
    assert Prediction("a", "b c/ü:1", *[np.zeros((1, 1, 3), np.uint8)] * 3, SPACE).name == "a-b-c-ü-1"


# --- The picture ----------------------------------------------------------------------------------------------


def contains(picture: np.ndarray, part: np.ndarray) -> bool:
    h, w, _ = part.shape
    spots = np.argwhere((picture[: -h + 1, : -w + 1] == part[0, 0]).all(-1))
    return any(np.array_equal(picture[y : y + h, x : x + w], part) for y, x in spots)


def test_the_strip_holds_every_panel_pixel_by_pixel():
    lit = lit_of()
    prediction = made(lit=lit)
    picture = np.asarray(draw_prediction(prediction, panel_width=36))
    for part in (
        prediction.image_hwc,
        labels_rgb(prediction.truth_hw),
        labels_rgb(prediction.answer_hw),
        errors_rgb(prediction),
        lit_rgb(prediction.image_hwc, lit),
        heat_rgb(prediction.image_hwc, lit.heats["lane"]),
    ):
        assert contains(picture, part)
    assert len(picture) > len(np.asarray(draw_prediction(made(), panel_width=36)))


def test_labels_are_enlarged_in_squares():
    """A prediction of 6 x 4 pixels on panels of 60: no colour between those of two classes."""
    prediction = made(shape=(4, 6))
    picture = np.asarray(draw_prediction(prediction, panel_width=60))
    assert contains(picture, labels_rgb(prediction.answer_hw).repeat(10, 0).repeat(10, 1))


def told(monkeypatch, prediction) -> list[str]:
    from unify.report import prediction as module

    texts = []
    real = module.write

    def write(draw, xy, text, *rest, **more):
        texts.append(text)
        real(draw, xy, text, *rest, **more)

    monkeypatch.setattr(module, "write", write)
    draw_prediction(prediction)
    return texts


def test_legends_tell_what_is_in_the_image(monkeypatch):
    prediction = made(lit=lit_of())
    texts = told(monkeypatch, prediction)
    scored = prediction.truth_hw < 3
    ious = []
    for k in range(3):
        is_true, is_said = (prediction.truth_hw == k)[scored], (prediction.answer_hw == k)[scored]
        ious.append((is_true & is_said).sum() / (is_true | is_said).sum())
        assert SPACE.names[k] in texts and f"{100 * ious[-1]:.0f} %" in texts
    assert "IoU in this image:" in texts
    accuracy = (prediction.truth_hw == prediction.answer_hw)[scored].mean()
    assert f"mIoU {100 * np.mean(ious):.1f} %, pixel accuracy {100 * accuracy:.1f} %" in texts
    assert {"void", "one of several", "right", "wrong", "not scored", "lane"} <= set(texts)
    assert "30.0 %, most on road" in texts and "1 more below 0.1 %" in texts and "rider" not in texts


def test_nothing_scored_and_nothing_lit(monkeypatch):
    none = Lit("softmax", 0.1, NETS, np.full((24, 36), VOID, np.uint8), {}, {}, {})
    whole = made(lit=none)
    blank = Prediction("a", "b", whole.image_hwc, np.full_like(whole.truth_hw, VOID), whole.answer_hw, SPACE, none)
    texts = told(monkeypatch, blank)
    assert "IoU in this image:" not in texts
    assert "nothing in it is scored" in texts and "no other class lights up" in texts


# --- What lights up -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_what_lights_up_is_what_a_loop_finds(activation):
    torch = pytest.importorskip("torch")
    from trainers.lit import lit_of

    rng = np.random.default_rng(1)
    logits = torch.from_numpy(rng.normal(-1, 2, (5, 7, 8)).astype(np.float32))
    space = LabelSpace("five", tuple(LabelClass(i, n, (i, 0, 0)) for i, n in enumerate("abcde")))
    answer = rng.integers(0, 3, (7, 8)).astype(np.uint8)
    found = lit_of(logits, space, ["b", "d", "e"], activation, answer, SPACE)
    threshold = {"sigmoid": 0.5, "softmax": 0.1}[activation]
    assert found.threshold == threshold and found.activation == activation
    lit = {name: [] for name in "bde"}
    for y, x in np.ndindex(7, 8):
        powers = [math.exp(v) for v in logits[:, y, x].tolist()]
        p = [v / (1 + v) for v in powers] if activation == "sigmoid" else [v / sum(powers) for v in powers]
        chosen = {k: p[k] for k in (1, 3, 4) if p[k] > threshold}
        assert found.best_hw[y, x] == (max(chosen, key=chosen.get) if chosen else VOID)
        for k in chosen:
            lit["abcde"[k]].append(int(answer[y, x]))
        for name, heat in found.heats.items():
            assert heat[y, x] == pytest.approx(p["abcde".index(name)], rel=1e-5)
    assert found.shares == pytest.approx({name: len(on) / 56 for name, on in lit.items() if on})
    assert list(found.shares) == sorted(found.shares, key=lambda name: -found.shares[name]) == list(found.heats)
    assert found.on == {name: SPACE.names[np.bincount(on).argmax()] for name, on in lit.items() if on}
    none = lit_of(logits, space, [], activation, answer, SPACE)
    assert not none.shares and (none.best_hw == VOID).all()


def test_the_command_draws_what_it_scores(tmp_path, capsys, monkeypatch):
    torch = pytest.importorskip("torch")
    from trainers import lit as module
    from unify.build import build
    from unify.cli import run
    from unify.sample import write_streets

    from . import nets
    from .test_trainers_evaluate import saved
    from .worlds import plan_of

    nets.install(monkeypatch.setitem)
    torch.set_num_threads(1)
    write_streets(tmp_path / "raw", ["C", "I"], images=2, seed=1, size=0.06)
    artifact = build(plan_of(tmp_path / "raw", "C,I"), tmp_path / "out").artifact
    seen = []
    real = module.prediction_of
    monkeypatch.setattr(module, "prediction_of", lambda *args: (seen.append(real(*args)), seen[-1])[1])
    out = tmp_path / "pictures"
    path = str(saved(artifact.taxonomy, tmp_path / "run"))
    given = ["evaluate", path, "--data", str(artifact.path), "--split", "train", "--pictures", "2", "--out", str(out)]
    assert run([*given, "--multi", "all", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pictures"] == [str(p) for p in sorted(out.iterdir())] and found["images"] == 4
    assert len(seen) == 2 == len({p.source for p in seen}), "spread over the split"
    own = dict(zip(artifact.taxonomy.sources, artifact.taxonomy.null_mask, strict=True))
    for file, prediction in zip(found["pictures"], sorted(seen, key=lambda p: p.name), strict=True):
        with Image.open(file) as picture:
            assert np.array_equal(np.asarray(picture), np.asarray(draw_prediction(prediction)))
        extra = {
            n for n, is_own in zip(artifact.taxonomy.space.names, own[prediction.source], strict=True) if not is_own
        }
        assert set(prediction.lit.shares) <= extra and prediction.lit.activation == "sigmoid"
    plain = [given[0], path, *given[2:]]
    seen.clear()
    assert run([*plain, "--multi", "billboard,curb"]) == 0 and "2 pictures" in capsys.readouterr().out
    assert all(set(p.lit.shares) <= {"billboard", "curb"} for p in seen)
    assert run([*plain, "--multi", "bilboard"]) == 2 and "did you mean 'billboard'" in capsys.readouterr().err
    assert run(["evaluate", path, "--data", str(artifact.path), "--pictures", "2"]) == 2
    assert "--pictures and --out go together" in capsys.readouterr().err
    assert run(["evaluate", path, "--data", str(artifact.path), "--multi", "all"]) == 2
    assert "--multi goes with --pictures" in capsys.readouterr().err


def test_other_classes_of_a_projected_net_are_those_that_count_for_none():
    torch = pytest.importorskip("torch")
    from trainers.lit import extras
    from unify.projection import Projection

    said = Projection(SPACE, NETS, {"lane": ("road",), "rider": ("car",)})
    assert extras(SPACE, torch.tensor([True, True]), said) == {"sky"}
    assert extras(SPACE, torch.tensor([True, False]), said) == {"sky", "car"}, "rider is not annotated"
    assert extras(SPACE, torch.tensor([True, False, True]), None) == {"sky"}

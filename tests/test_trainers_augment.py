"""Augmentation: image and label stay together, whatever is done to them."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from trainers.augment import MEAN, VOID, Augment, resized, warp
from unify.errors import UnifyError

HEIGHT, WIDTH = 120, 200
Y, X = np.mgrid[:HEIGHT, :WIDTH]
#: A picture of coordinates: red is x, green is y.
COORDINATES = np.stack([X, Y, np.full_like(X, 7)], axis=2).astype(np.uint8)
GEOMETRIES = {
    "crop": {"scale": (1.0, 1.0), "flip": 0.0},
    "flip": {"scale": (1.0, 1.0), "flip": 1.0},
    "scale": {"scale": (0.5, 2.0), "flip": 0.0},
    "smaller than the crop": {"scale": (0.2, 0.3), "flip": 0.5},
    "rotation": {"scale": (1.0, 1.0), "flip": 0.0, "rotation_deg": 10.0},
    "short side": {"short_side": 90, "scale": (0.5, 2.0)},
    "all": {"scale": (0.5, 2.0), "flip": 0.5, "rotation_deg": 10.0},
}


def crops(how: dict, seeds=range(12), crop=(64, 80), centre=None):
    """Crops of the coordinates: image, the label that is x, the label that is y, for the same chances."""
    augment = Augment(crop, **how)
    for seed in seeds:
        image, label_x = augment(COORDINATES, X.astype(np.uint8), np.random.default_rng(seed), centre)
        again, label_y = augment(COORDINATES, Y.astype(np.uint8), np.random.default_rng(seed), centre)
        assert np.array_equal(image, again), "the image does not depend on the label"
        assert image.shape == (*crop, 3) and label_x.shape == crop
        assert image.dtype == label_x.dtype == np.uint8
        yield image, label_x, label_y


@pytest.mark.parametrize("name", GEOMETRIES)
def test_image_and_label_show_the_same_place(name):
    how = GEOMETRIES[name]
    seen = 0
    for image, label_x, label_y in crops(how):
        inside = label_x != VOID
        assert np.array_equal(inside, label_y != VOID)
        off_x = np.abs(image[..., 0].astype(int) - label_x)[inside]
        off_y = np.abs(image[..., 1].astype(int) - label_y)[inside]
        # Nearest is up to half a pixel from where linear looks; rounding to bytes adds up to another half.
        assert off_x.max(initial=0) <= 1 and off_y.max(initial=0) <= 1
        assert (image[~inside] == np.rint(MEAN)).all()
        seen += inside.sum()
    assert seen > 1000


@pytest.mark.parametrize("name", ["crop", "flip"])
def test_whole_pixels_are_copied(name):
    for image, label_x, label_y in crops(GEOMETRIES[name]):
        assert np.array_equal(image[..., 0], label_x) and np.array_equal(image[..., 1], label_y)
        step = np.diff(label_x.astype(int), axis=1)
        assert (step == (1 if name == "crop" else -1)).all() and (np.diff(label_y.astype(int), axis=0) == 1).all()


def test_scaling_equals_resizing_and_cropping():
    """The usual two steps, by OpenCV: the same to a rounding step, and nothing is blended with the outside."""
    for factor, crop in itertools.product((0.5, 1.5, 2.0), ((40, 50), (300, 420))):
        augment = Augment(crop, scale=(factor, factor), flip=0.0)
        big = cv2.resize(COORDINATES, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
        rng = np.random.default_rng(0)
        chance = np.random.default_rng(0).random(12).tolist()
        to_image = augment.place((HEIGHT, WIDTH), chance[:5])
        left, top = np.rint(to_image[:, 2] * factor).astype(int)
        image, label = augment(COORDINATES, X.astype(np.uint8), rng)
        for y, x in itertools.product(range(0, crop[0], 7), range(0, crop[1], 7)):
            if 0 <= y + top < big.shape[0] and 0 <= x + left < big.shape[1]:
                assert np.abs(image[y, x].astype(int) - big[y + top, x + left]).max() <= 1
            else:
                assert label[y, x] == VOID


def test_a_crop_beyond_the_image_is_void_and_shows_all_of_it():
    for image, label_x, _ in crops({"scale": (1.0, 1.0), "flip": 0.0}, crop=(200, 300)):
        assert (label_x != VOID).sum() == HEIGHT * WIDTH
        assert (image[label_x == VOID] == np.rint(MEAN)).all()


def test_a_centre_is_in_the_crop():
    for centre in ((0, 0), (119, 199), (60, 3), (5, 100)):
        augment = Augment((40, 40), scale=(0.5, 2.0))
        label = np.zeros((HEIGHT, WIDTH), np.uint8)
        y, x = centre
        label[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = 1  # at half the size one of these is shown
        for seed in range(40):
            _, cropped = augment(COORDINATES, label, np.random.default_rng(seed), centre)
            assert (cropped == 1).any()


def test_places_are_uniform():
    """Every start of a crop comes as often as any other, with and without a centre."""
    augment = Augment((HEIGHT, 190), scale=(1.0, 1.0), flip=0.0)
    starts = [augment.place((HEIGHT, WIDTH), [0, 0, c, 1, 0])[0, 2] for c in (np.arange(1100) + 0.5) / 1100]
    assert np.bincount(np.array(starts, int)).tolist() == [100] * 11
    augment = Augment((10, 10), scale=(1.0, 1.0), flip=0.0)
    starts = [augment.place((HEIGHT, WIDTH), [0, 0, c, 1, 0], (50, 60))[0, 2] for c in (np.arange(1000) + 0.5) / 1000]
    assert np.bincount(np.array(starts, int))[51:].tolist() == [100] * 10


def test_flip_and_scale_follow_their_chances():
    augment = Augment((32, 32), scale=(0.5, 2.0), flip=0.25)
    maps = [augment.place((HEIGHT, WIDTH), np.random.default_rng(i).random(5).tolist()) for i in range(2000)]
    flipped = np.mean([m[0, 0] < 0 for m in maps])
    assert 0.2 < flipped < 0.3
    factors = np.array([1 / abs(m[0, 0]) for m in maps])
    assert 0.49 < factors.min() < 0.55 and 1.95 < factors.max() < 2.02 and 1.2 < factors.mean() < 1.3


def test_colour_and_blur_leave_geometry_alone():
    plain = {"scale": (0.5, 2.0), "rotation_deg": 5.0}
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    label = rng.integers(0, 5, (HEIGHT, WIDTH), np.uint8)
    for extra in ({"photometric": 1.0}, {"blur": 1.0}, {"photometric": 1.0, "blur": 1.0}):
        before = Augment((64, 64), **plain)(image, label, np.random.default_rng(3))
        after = Augment((64, 64), **plain, **extra)(image, label, np.random.default_rng(3))
        assert np.array_equal(before[1], after[1]) and not np.array_equal(before[0], after[0])
        outside = (before[0] == np.rint(MEAN)).all(axis=2)
        assert (after[0][outside] == np.rint(MEAN)).all(), "what is outside stays the mean"


def test_each_colour_change_does_what_it_says():
    image = np.full((8, 8, 3), (100, 60, 40), np.uint8)
    label = np.zeros((8, 8), np.uint8)
    off = {"scale": (1.0, 1.0), "flip": 0.0, "photometric": 1.0}
    off |= {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}

    def changed(**how):
        return [Augment((8, 8), **{**off, **how})(image, label, np.random.default_rng(i))[0][0, 0] for i in range(60)]

    def hsv(pixels):
        return cv2.cvtColor(np.array([pixels]), cv2.COLOR_RGB2HSV)[0].astype(int)

    assert np.abs(np.array(changed()) - (100, 60, 40)).max() <= 1, "through HSV and back"
    brighter = np.array(changed(brightness=30)).astype(int) - (100, 60, 40)
    assert brighter.min() < -24 and brighter.max() > 24 and np.ptp(brighter, axis=1).max() <= 2
    gains = np.array(changed(contrast=0.5)) / (100, 60, 40)
    assert gains.min() < 0.6 and gains.max() > 1.4 and np.ptp(gains, axis=1).max() < 0.06
    saturations = hsv(changed(saturation=0.5))
    assert np.ptp(saturations[:, 1]) > 100 and np.ptp(saturations[:, 0]) <= 2 and np.ptp(saturations[:, 2]) <= 1
    hues = hsv(changed(hue=36))
    assert np.ptp((hues[:, 0] + 90) % 180) > 24 and np.ptp(hues[:, 2]) <= 1


def test_the_same_chance_gives_the_same_crop_and_switches_do_not_shift_others():
    """What is drawn for one thing does not depend on whether another is switched on."""
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    label = X.astype(np.uint8)
    one, other = (
        Augment((64, 64), photometric=p, blur=0.5)(image, label, np.random.default_rng(9)) for p in (0.0, 1.0)
    )
    assert np.array_equal(one[1], other[1])
    again = Augment((64, 64), photometric=1.0, blur=0.5)(image, label, np.random.default_rng(9))
    assert np.array_equal(again[0], other[0])


def test_no_source_is_written_to():
    image, label = COORDINATES.copy(), X.astype(np.uint8)
    Augment((300, 300), photometric=1.0, blur=1.0)(image, label, np.random.default_rng(0))
    assert np.array_equal(image, COORDINATES) and np.array_equal(label, X)


def test_warp_says_what_is_outside():
    identity = np.array([[1.0, 0, 0], [0, 1, 0]])
    image, label, outside = warp(COORDINATES, X.astype(np.uint8), identity, (HEIGHT, WIDTH))
    assert outside is None and np.array_equal(image, COORDINATES) and np.array_equal(label, X)
    shifted = np.array([[1.0, 0, 150], [0, 1, 0]])
    image, label, outside = warp(COORDINATES, X.astype(np.uint8), shifted, (HEIGHT, 100))
    assert np.array_equal(outside, np.tile(np.arange(100) >= 50, (HEIGHT, 1))) and np.array_equal(
        label == VOID, outside
    )


def test_images_are_resized_for_evaluation_by_their_shorter_side():
    assert resized(COORDINATES, 60).shape == (60, 100, 3) and resized(COORDINATES, 240).shape == (240, 400, 3)


@pytest.mark.parametrize(
    "how",
    [
        {"crop_hw": (0, 5)},
        {"scale": (2.0, 1.0)},
        {"scale": (0.0, 1.0)},
        {"flip": 1.5},
        {"contrast": 2.0},
        {"blur_sigma_px": (2.0, 1.0)},
    ],
)
def test_odd_settings_are_refused(how):
    with pytest.raises(UnifyError, match="bad-config: augmentation"):
        Augment(**{"crop_hw": (8, 8), **how})

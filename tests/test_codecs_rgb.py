"""RGB images against Pillow, which decodes what we encode and says what files hold."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from unify.codecs_rgb import encode_rgb, read_rgb
from unify.errors import UnifyError
from unify.imagefile import check_image

from .pngs import adam7, by_pillow, chunk, filtered, ihdr, noise, png_file, saved, street


def photo(height: int, width: int) -> np.ndarray:
    """(H, W, 3): a gradient, edges and a little noise."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(height * 1000 + width)
    base = np.stack([x * 2 + y, y * 3, 255 - x], -1) + 40 * (street((height, width)) > 10)[..., None]
    return (base + rng.normal(0, 3, base.shape)).clip(0, 255).astype(np.uint8)


SIZES = [(1, 1), (1, 70), (70, 1), (2, 10), (3, 11), (5, 12), (33, 43), (40, 64), (37, 101), (60, 200)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("what", ["photo", "noise", "one colour", "half one colour", "stripes"])
def test_encoded_is_what_pillow_decodes(size, what):
    image = photo(*size)
    if what == "noise":
        image = np.dstack([noise(size), noise(size), noise(size)[::-1]])
    elif what == "one colour":
        image[:] = (124, 116, 104)
    elif what == "half one colour":
        image[size[0] // 2 :] = (0, 0, 0)
    elif what == "stripes":
        image[:, ::3] = 255
    data = encode_rgb(image)
    header = check_image(data)
    assert (header.mode, header.bits, header.height, header.width) == ("rgb", 8, *size)
    assert np.array_equal(by_pillow(data), image)
    assert np.array_equal(read_rgb(data), image)
    assert encode_rgb(image) == data


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=900), st.integers(1, 40))
def test_any_pixels(data, width):
    width = min(width, max(1, len(data) // 3))
    height = max(1, len(data) // (3 * width))
    flat = np.frombuffer(data.ljust(3 * height * width, b"\0")[: 3 * height * width], np.uint8)
    image = flat.reshape(height, width, 3)  # not writable
    assert np.array_equal(by_pillow(encode_rgb(image)), image)
    assert np.array_equal(by_pillow(encode_rgb(image[::-1, ::-1])), image[::-1, ::-1])


@pytest.mark.parametrize("run", [1, 2, 3, 4, 63, 64, 65, 257, 258, 259, 260, 261, 262, 516, 519, 1000])
def test_runs_of_every_length(run):
    row = np.concatenate([[9, 1, 7], np.cumsum(np.full(run, 5)), [3, 3, 8]]).astype(np.uint8)
    image = np.repeat(row[None, :, None], 3, 2)
    image = np.concatenate([image, image[:, ::-1]])
    assert np.array_equal(by_pillow(encode_rgb(image)), image)


def image_of(residuals: np.ndarray) -> np.ndarray:
    """(1, W, 3) of which these are the residuals: a first row is coded by differences to the left."""
    return np.cumsum(residuals, axis=1, dtype=np.uint8)


@pytest.mark.parametrize("pixels", [1, 2, 3, 21, 22, 42, 85, 86, 87, 300])
@pytest.mark.parametrize("back", [1, 2, 5, 20, 169, 170, 171])
def test_repeated_pixels(back, pixels):
    """One row: noise, then `pixels` that are those `back` before them, then noise again."""
    rng = np.random.default_rng(back * 1000 + pixels)
    residuals = rng.integers(0, 256, (1, 200 + pixels + 4, 3), np.uint8)
    for x in range(200, 200 + pixels):
        residuals[0, x] = residuals[0, x - back]
    image = image_of(residuals)
    data = encode_rgb(image)
    assert np.array_equal(by_pillow(data), image)
    if pixels == 300:
        assert (len(data) < 1100) == (back <= 170)  # 512 bytes


def test_codes_of_every_length():
    """Residuals, and distances between equal ones, as often as Fibonacci numbers: the deepest code trees there are."""
    numbers = [1, 1]
    while len(numbers) < 22:
        numbers.append(numbers[-2] + numbers[-1])
    rng = np.random.default_rng(5)
    values = rng.permutation(np.repeat(np.arange(22, dtype=np.uint8) * 7, numbers))
    image = image_of(values[: values.size // 3 * 3].reshape(1, -1, 3))
    assert np.array_equal(by_pillow(encode_rgb(image)), image)
    pixels = list(rng.integers(0, 256, (180, 3)))
    backs = [1, 2, 3, 4, 5, 7, 9, 12, 17, 23, 33, 45, 65, 90, 129, 170]  # symbols of distances, one each
    for back in rng.permutation(np.repeat(backs, numbers[: len(backs)])):
        pixels += [pixels[-back], rng.integers(0, 256, 3)]
    image = image_of(np.array(pixels, np.uint8)[None])
    assert np.array_equal(by_pillow(encode_rgb(image)), image)


@pytest.mark.parametrize("size", [(1, 50_000), (2, 43_690), (3, 43_691), (700, 63), (4000, 1), (500, 301)])
def test_blocks(size):
    """About 131072 bytes share their codes; one row if it is longer."""
    image = photo(*size)
    image[:, size[1] // 2 :] = 7
    assert np.array_equal(by_pillow(encode_rgb(image)), image)


@pytest.mark.slow
def test_the_same_bytes_on_a_plain_processor():
    code = (
        "import hashlib; from tests.test_codecs_rgb import photo; from unify.codecs_rgb import encode_rgb;"
        "print(hashlib.sha256(encode_rgb(photo(300, 400))).hexdigest())"
    )
    plain = {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_CACHE_LOCATOR_CLASSES": "IPythonCacheLocator",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        env={**os.environ, **plain},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == hashlib.sha256(encode_rgb(photo(300, 400))).hexdigest()


@pytest.mark.parametrize("color", [0, 60])
def test_little_larger_than_pillow_where_pixels_repeat(color):
    """Noise in brightness alone, kept by JPEG: residuals are often equal in threes."""
    y, x = np.mgrid[:480, :640]
    base = np.stack([x, y, x + y], -1) * color // 640 + 100
    noise = np.random.default_rng(3).normal(0, 6, (480, 640, 1))
    scene = Image.fromarray((base + noise).clip(0, 255).astype(np.uint8))
    image = read_rgb(saved(scene, "JPEG", quality=90))
    assert len(encode_rgb(image)) <= 1.2 * len(saved(Image.fromarray(image)))


def test_little_larger_than_pillow():
    image = photo(300, 400)
    assert len(encode_rgb(image)) <= 1.2 * len(saved(Image.fromarray(image)))
    image[150:] = (124, 116, 104)
    assert len(encode_rgb(image)) <= 1.2 * len(saved(Image.fromarray(image)))


FILES = {
    "png": saved(Image.fromarray(photo(20, 31))),
    "gray png": saved(Image.fromarray(photo(20, 31)[..., 0])),
    "palette png": saved(Image.fromarray(photo(20, 31)).convert("P", palette=Image.Palette.ADAPTIVE)),
    "rgba png": saved(Image.fromarray(photo(20, 31)).convert("RGBA")),
    "gray-alpha png": saved(Image.fromarray(photo(20, 31)).convert("LA")),
    "1 bit png": saved(Image.fromarray(photo(20, 31)).convert("1")),
    "jpeg": saved(Image.fromarray(photo(37, 45)), "JPEG"),
    "jpeg 4:4:4": saved(Image.fromarray(photo(37, 45)), "JPEG", subsampling=0, quality=95),
    "progressive jpeg": saved(Image.fromarray(photo(37, 45)), "JPEG", progressive=True),
    "gray jpeg": saved(Image.fromarray(photo(37, 45)[..., 0]), "JPEG"),
    "cmyk jpeg": saved(Image.fromarray(photo(37, 45)).convert("CMYK"), "JPEG"),
    "interlaced png": adam7(street((20, 31))),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("types", [0, 1, 2, 3, 4, "all"])
def test_every_filter_type(size, types):
    """Rows filtered by the definitions, three channels side by side, against the pixels they are of."""
    image = photo(*size)
    types = np.arange(size[0]) * 3 % 5 if types == "all" else np.full(size[0], types)
    channels = [filtered(image[..., c], types)[:, 1:] for c in range(3)]
    lines = np.column_stack([types.astype(np.uint8), np.dstack(channels).reshape(size[0], -1)])
    data = zlib.compress(lines.tobytes())
    file = png_file(ihdr(size[1], size[0], color=2), chunk(b"IDAT", data[:9]), chunk(b"IDAT", data[9:]))
    assert np.array_equal(by_pillow(file), image)
    assert np.array_equal(read_rgb(file), image)


@pytest.mark.parametrize("lines", [b"\5" + bytes(9), bytes(9), bytes(11)])
def test_wrong_pixel_data(lines):
    with pytest.raises(UnifyError, match="bad-image: damaged: its data is not that of 3x1 pixels"):
        read_rgb(png_file(ihdr(3, 1, color=2), chunk(b"IDAT", zlib.compress(lines))))


@pytest.mark.parametrize("kind", FILES)
def test_read_is_what_pillow_gives(kind):
    with Image.open(io.BytesIO(FILES[kind])) as image:
        expected = np.asarray(image.convert("RGB"))
    found = read_rgb(FILES[kind])
    assert np.array_equal(found, expected)
    assert found.flags.writeable


def test_what_cannot_be_read_is_said():
    deep = saved(Image.fromarray(np.full((4, 5), 40000, np.uint16)))
    with pytest.raises(UnifyError, match=r"bad-image: 16 bits a value.* — convert it to 8 bits"):
        read_rgb(deep)
    with pytest.raises(UnifyError, match="image-too-large: 31x20 pixels"):
        read_rgb(FILES["png"], max_pixels=619)
    with pytest.raises(UnifyError, match="bad-image: truncated"):
        read_rgb(FILES["png"][:300])
    with pytest.raises(UnifyError, match="bad-image: damaged: Pillow says"):
        read_rgb(FILES["gray png"][:300])
    with pytest.raises(UnifyError, match="bad-image"):
        read_rgb(b"")


def test_repeats_after_noise_are_found_again():
    """Where nothing repeats, only the pixel before is compared; every so often all is looked at again."""
    rng = np.random.default_rng(0)
    unlike = rng.integers(0, 256, (1000, 1024, 3), np.uint8)
    repeats = np.tile(rng.integers(0, 256, (1000, 32, 3), np.uint8), (1, 32, 1))
    sizes = {}
    for name, image in (("noise", unlike), ("repeats", repeats), ("both", np.concatenate([unlike, repeats]))):
        data = encode_rgb(image)
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), image)
        sizes[name] = len(data)
    assert sizes["repeats"] < 0.15 * sizes["noise"]
    assert sizes["both"] - sizes["noise"] < sizes["repeats"] + 0.4 * sizes["noise"]  # noise until it looks again

"""The label codec against Pillow, OpenCV, and PNGs filtered by the definitions."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import threading
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from unify import codecs
from unify.codecs import check_image, encode_label, image_header, read_label, relabel_png
from unify.errors import UnifyError

from .pngs import (
    COLORS,
    MAPS,
    adam7,
    blobs,
    by_pillow,
    chunk,
    filtered,
    ihdr,
    label_png,
    noise,
    png_file,
    saved,
    street,
)

SHAPES = [(1, 1), (1, 2), (2, 1), (1, 300), (300, 1), (7, 63), (7, 64), (7, 65), (5, 127), (5, 128), (33, 200)]
TABLE = np.random.default_rng(1).integers(0, 256, 256).astype(np.uint8)
MANY_TO_ONE = np.where(np.arange(256) % 3 == 0, 255, np.arange(256) // 40).astype(np.uint8)


# --- Decoding ---


@pytest.mark.parametrize("types", [0, 1, 2, 3, 4, "mixed"])
@pytest.mark.parametrize("make", MAPS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_filter_type_shape_and_content_is_decoded(shape, make, types):
    ids_hw = make(shape)
    if types == "mixed":
        types = np.random.default_rng(6).integers(0, 5, shape[0])
    data = label_png(ids_hw, types)
    assert np.array_equal(by_pillow(data), ids_hw), "the test's own writer"
    out = read_label(data)
    assert out.dtype == np.uint8 and out.flags.c_contiguous and out.flags.writeable
    assert np.array_equal(out, ids_hw)
    for table in (TABLE, MANY_TO_ONE):
        png, counts = relabel_png(data, table)
        assert np.array_equal(by_pillow(png), table[ids_hw])
        assert np.array_equal(counts, np.bincount(ids_hw.ravel(), minlength=256))
        assert counts.dtype == np.int64


@pytest.mark.parametrize("make", MAPS)
def test_files_written_by_pillow_and_opencv(make):
    ids_hw = make((181, 333))
    files = [saved(Image.fromarray(ids_hw)), saved(Image.fromarray(ids_hw), optimize=True)]
    files += [cv2.imencode(".png", ids_hw)[1].tobytes()]
    files += [cv2.imencode(".png", ids_hw, [cv2.IMWRITE_PNG_FILTER, f])[1].tobytes() for f in (8, 16, 32, 64, 128)]
    for data in files:
        assert np.array_equal(read_label(data), ids_hw)
        assert np.array_equal(by_pillow(relabel_png(data, TABLE)[0]), TABLE[ids_hw])


@pytest.mark.parametrize("types", range(5))
def test_palette_files_give_indices_never_colours(types):
    ids_hw = street((50, 70))
    data = label_png(ids_hw, types, COLORS)
    assert not np.array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE), ids_hw)
    assert np.array_equal(read_label(data), ids_hw)
    png, counts = relabel_png(data, TABLE)
    assert np.array_equal(by_pillow(png), TABLE[ids_hw])
    assert np.array_equal(counts, np.bincount(ids_hw.ravel(), minlength=256))


def test_indices_beyond_the_palette_are_ids_too():
    ids_hw = noise((20, 30))
    assert np.array_equal(read_label(label_png(ids_hw, 0, COLORS[:6])), ids_hw)


def test_pixel_data_in_many_chunks_some_empty():
    ids_hw = street((40, 90))
    whole = label_png(ids_hw, 4)
    size = whole.index(b"IDAT") - 4
    empty = chunk(b"IDAT")
    for data in (
        label_png(ids_hw, 4, pieces=7),
        whole[:size] + empty + whole[size:],
        whole[:-12] + empty + whole[-12:],
        whole[:size] + empty + label_png(ids_hw, 4, pieces=3)[size:-12] + empty + whole[-12:],
    ):
        assert np.array_equal(read_label(data), ids_hw)


def test_chunks_that_pixels_do_not_depend_on_are_passed_over():
    ids_hw = street((40, 90))
    data = label_png(ids_hw, 2, COLORS)
    extra = chunk(b"tRNS", bytes(256)) + chunk(b"tEXt", b"a\0b") + chunk(b"pHYs", b"") + chunk(b"prVt", b"x" * 99)
    at = data.index(b"IDAT") - 4
    assert np.array_equal(read_label(data[:at] + extra + data[at:]), ids_hw)
    assert np.array_equal(read_label(data[:-12] + extra + data[-12:]), ids_hw)
    assert np.array_equal(read_label(data + b"what follows the end"), ids_hw)


def test_bytes_like_data_is_taken_as_it_is():
    data = label_png(street((9, 80)), 4)
    for same in (bytearray(data), memoryview(data), memoryview(bytearray(data))):
        assert np.array_equal(read_label(same), street((9, 80)))
        assert image_header(same) == check_image(same) == image_header(data)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_palettes_of_fewer_bits_give_indices(bits):
    ids_hw = (noise((17, 29)) % 2**bits).astype(np.uint8)
    image = Image.fromarray(ids_hw)
    image.putpalette(COLORS[: 3 * 2**bits])
    data = saved(image, bits=bits)
    assert image_header(data).bits == bits
    assert np.array_equal(read_label(data), ids_hw)
    png, counts = relabel_png(data, TABLE)
    assert np.array_equal(by_pillow(png), TABLE[ids_hw])
    assert np.array_equal(counts, np.bincount(ids_hw.ravel(), minlength=256))


def test_gray_of_one_bit_is_0_and_1():
    ids_hw = noise((9, 21)) % 2
    data = saved(Image.fromarray(ids_hw.astype(bool)))
    assert image_header(data).bits == 1
    out = read_label(data)
    assert out.dtype == np.uint8 and np.array_equal(out, ids_hw)


@pytest.mark.parametrize("bits", [2, 4])
def test_gray_of_two_and_four_bits_is_what_pillow_says(bits):
    packed = noise((11, 6 * bits))
    lines = np.column_stack([np.zeros(11, np.uint8), packed])
    data = png_file(ihdr(48, 11, bits), chunk(b"IDAT", zlib.compress(lines.tobytes())))
    assert np.array_equal(read_label(data), by_pillow(data))


def test_16_bits_are_read_as_they_are_but_not_relabelled():
    ids_hw = np.random.default_rng(0).integers(0, 65536, (31, 17)).astype(np.uint16)
    data = saved(Image.fromarray(ids_hw))
    out = read_label(data)
    assert out.dtype == np.uint16 and np.array_equal(out, ids_hw)
    with pytest.raises(UnifyError, match="bad-label: 16-bit gray where 8-bit ids are due — use the file of class ids"):
        relabel_png(data, TABLE)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 4), (8, 8), (3, 200), (70, 71)], ids=str)
def test_interlaced_files_are_read(shape):
    ids_hw = noise(shape)
    data = adam7(ids_hw)
    assert np.array_equal(by_pillow(data), ids_hw), "the test's own writer"
    assert np.array_equal(read_label(data), ids_hw)
    assert np.array_equal(by_pillow(relabel_png(data, TABLE)[0]), TABLE[ids_hw])


# --- Encoding ---


@pytest.mark.parametrize("make", MAPS)
@pytest.mark.parametrize("shape", [*SHAPES, (130, 259), (700, 701)], ids=str)
def test_what_is_written_is_read_back_by_others(shape, make):
    ids_hw = make(shape)
    png, counts = encode_label(ids_hw, TABLE)
    assert np.array_equal(counts, np.bincount(ids_hw.ravel(), minlength=256))
    with Image.open(io.BytesIO(png)) as image:
        assert image.mode == "L"
        assert np.array_equal(np.asarray(image), TABLE[ids_hw])
    assert np.array_equal(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED), TABLE[ids_hw])
    assert np.array_equal(read_label(png), TABLE[ids_hw])
    assert check_image(png) == codecs.ImageHeader("png", shape[1], shape[0], "gray", 8)


def test_a_label_without_a_table_keeps_its_ids():
    ids_hw = street((60, 100))
    assert np.array_equal(by_pillow(encode_label(ids_hw)[0]), ids_hw)


def test_both_ways_to_write_give_the_same_bytes_each_time():
    ids_hw = street((60, 100))
    png, _ = encode_label(ids_hw, TABLE)
    for types in range(5):
        assert relabel_png(label_png(ids_hw, types), TABLE)[0] == png


def test_threads_do_not_disturb_each_other():
    files = [label_png(make((90, 150)), 4) for make in MAPS]
    due = [relabel_png(data, TABLE)[0] for data in files]
    wrong = []

    def work():
        for _ in range(20):
            wrong.extend(i for i, data in enumerate(files) if relabel_png(data, TABLE)[0] != due[i])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_views_and_read_only_arrays_are_encoded():
    big = street((60, 200))
    for ids_hw in (big[::2, ::3], big.T, np.asfortranarray(big), np.broadcast_to(big[:1], (4, 200))):
        assert np.array_equal(by_pillow(encode_label(ids_hw)[0]), ids_hw)
    table = TABLE.copy()
    table.flags.writeable = False
    assert encode_label(big, table)[0] == encode_label(big, TABLE)[0]


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (np.zeros((3, 3), np.int64), "an array of int64, shape (3, 3)"),
        (np.zeros((3, 3, 3), np.uint8), "an array of uint8, shape (3, 3, 3)"),
        (np.zeros((0, 3), np.uint8), "an array of uint8, shape (0, 3)"),
    ],
)
def test_other_arrays_are_refused(array, what):
    with pytest.raises(UnifyError) as e:
        encode_label(array)
    assert str(e.value) == f"unify: bad-label: {what}, where uint8 (H, W) is due — convert it"


def test_files_are_no_larger_than_pillows():
    ids_hw = blobs((512, 1024))
    assert len(encode_label(ids_hw)[0]) <= len(saved(Image.fromarray(ids_hw)))


def test_noise_and_texture_do_not_grow():
    ids_hw = noise((600, 700))
    png, counts = encode_label(ids_hw, TABLE)
    assert np.array_equal(by_pillow(png), TABLE[ids_hw])
    assert np.array_equal(counts, np.bincount(ids_hw.ravel(), minlength=256))
    assert len(png) < 1.002 * ids_hw.size
    checkers = (np.indices((600, 700)).sum(0) % 2).astype(np.uint8)
    png, _ = encode_label(checkers, TABLE)
    assert np.array_equal(by_pillow(png), TABLE[checkers])
    assert len(png) < checkers.size / 100


def test_a_table_that_joins_classes_leaves_no_border_between_them():
    ids_hw = noise((300, 300))
    png, counts = encode_label(ids_hw, np.full(256, 3, np.uint8))
    assert (by_pillow(png) == 3).all()
    assert np.array_equal(counts, np.bincount(ids_hw.ravel(), minlength=256))
    assert len(png) == len(encode_label(np.full((300, 300), 3, np.uint8))[0])


# --- Bad labels ---

GOOD = label_png(street((20, 30)), 4)
WIDE = street((3, 40))


def with_idat(body: bytes, **header) -> bytes:
    return png_file(ihdr(**{"width": 40, "height": 3} | header), chunk(b"IDAT", body))


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


BAD_LABELS = {
    "an empty file": (b"", "an empty file — copy or download it again"),
    "not an image": (b"<html>oops</html>", "not a PNG: it begins with b'<html>oo'"),
    "jpeg": (saved(Image.new("L", (8, 8)), "JPEG"), r"not a PNG: it begins with b'\\xff\\xd8\\xff\\xe0"),
    "only a signature": (GOOD[:8], "truncated: only 8 bytes, less than a PNG header"),
    "cut in IDAT": (GOOD[:-20], f"truncated: it ends after {len(GOOD) - 20} bytes, inside its IDAT chunk"),
    "cut before IEND": (GOOD[:-12], f"truncated: it ends after {len(GOOD) - 12} bytes, without an IEND chunk"),
    "cut in IEND": (GOOD[:-1], f"truncated: it ends after {len(GOOD) - 1} bytes, without an IEND chunk"),
    "flipped in IDAT": (flipped(GOOD, -20), "damaged: the checksum of its IDAT chunk is wrong"),
    "flipped in IHDR": (flipped(GOOD, 20), "damaged: the checksum of its IHDR chunk is wrong"),
    "wrong Adler-32": (
        with_idat(flipped(zlib.compress(filtered(WIDE, [0] * 3).tobytes()), -1)),
        "damaged: its pixel data is no zlib stream of 40x3 pixels",
    ),
    "no zlib stream": (with_idat(b"abcdefgh"), "damaged: its pixel data is no zlib stream of 40x3 pixels"),
    "empty IDAT": (with_idat(b""), "damaged: its pixel data is no zlib stream of 40x3 pixels"),
    "a byte short": (
        with_idat(zlib.compress(bytes(122))),
        "damaged: its pixel data has 122 bytes, 40x3 pixels need 123",
    ),
    "a byte long": (with_idat(zlib.compress(bytes(124))), "damaged: its pixel data is no zlib stream of 40x3 pixels"),
    "interlaced, short": (with_idat(zlib.compress(bytes(99)), interlace=1), "damaged: its pixel data has 99 bytes"),
    "16 bits, short": (with_idat(zlib.compress(bytes(123)), bits=16), ""),
    "filter 5": (with_idat(zlib.compress(b"\0" + bytes(40) + b"\5" + bytes(81))), "damaged: filter type 5"),
    "filter 255 on top": (with_idat(zlib.compress(b"\xff" + bytes(122))), "damaged: filter type 255"),
    "filter 9, interlaced": (
        with_idat(zlib.compress(b"\11" + bytes(142)), width=16, height=8, interlace=1),
        "damaged: Pillow says ",
    ),
    "no IDAT": (png_file(ihdr(4, 4)), r"it has no pixel data \(no IDAT chunk\)"),
    "no PLTE": (with_idat(zlib.compress(bytes(123)), color=3), r"says palette, but it has none \(no PLTE chunk\)"),
    "PLTE of 4 bytes": (png_file(ihdr(4, 4, color=3), chunk(b"PLTE", b"abcd")), "its palette has 4 bytes, not 3 for"),
    "PLTE of 0 bytes": (png_file(ihdr(4, 4, color=3), chunk(b"PLTE")), "its palette has 0 bytes, not 3 for each"),
    "two PLTE": (png_file(ihdr(4, 4, color=3), chunk(b"PLTE", b"abc") * 2), "its PLTE chunks are out of order"),
    "PLTE after IDAT": (GOOD[:-12] + chunk(b"PLTE", b"abc") + GOOD[-12:], "its PLTE chunks are out of order"),
    "two IHDR": (GOOD[:33] + GOOD[8:], "its IHDR chunks are out of order"),
    "IDAT in two places": (GOOD[:-12] + chunk(b"tEXt") + chunk(b"IDAT") + GOOD[-12:], "its IDAT chunks are out of"),
    "unknown critical chunk": (GOOD[:33] + chunk(b"ABcD") + GOOD[33:], "a critical chunk of unknown type b'ABcD'"),
    "IEND with a body": (GOOD[:-12] + chunk(b"IEND", b"x"), "its IEND chunk has 1 bytes, not 0"),
    "IHDR not first": (GOOD[:8] + chunk(b"tEXt", bytes(13)) + GOOD[8:], "its first chunk is not the header"),
    "3 bits": (with_idat(b"", bits=3), "its header says colour type 0, 3 bits, methods .* there is no such PNG"),
    "colour type 5": (with_idat(b"", color=5), "its header says colour type 5, 8 bits, methods .* no such PNG"),
    "palette of 16 bits": (with_idat(b"", bits=16, color=3), "colour type 3, 16 bits"),
    "compression 1": (with_idat(b"", compression=1), r"methods \[1, 0, 0\]"),
    "filter method 1": (with_idat(b"", filtering=1), r"methods \[0, 1, 0\]"),
    "interlace 2": (with_idat(b"", interlace=2), r"methods \[0, 0, 2\]"),
    "no columns": (with_idat(b"", width=0), "its header says 0x3 pixels"),
    "no rows": (with_idat(b"", height=0), "its header says 40x0 pixels"),
    "RGB": (saved(Image.new("RGB", (8, 8))), "RGB colours where ids are due — use the file of ids, not the one of"),
    "RGBA": (saved(Image.new("RGBA", (8, 8))), "RGBA colours where ids are due"),
    "LA": (saved(Image.new("LA", (8, 8))), "gray with transparency where ids are due"),
}


@pytest.mark.parametrize("name", BAD_LABELS)
def test_bad_labels_are_refused_with_a_reason(name):
    data, message = BAD_LABELS[name]
    for call in (read_label, lambda d: relabel_png(d, TABLE)):
        with pytest.raises(UnifyError, match=f"^unify: bad-label: .*{message}") as e:
            call(data)
        assert [(p.kind, p.path) for p in e.value.problems] == [("bad-label", "")]
        assert e.value.exit_code == 65


def test_image_bombs_are_refused_by_their_header():
    bomb = png_file(ihdr(30000, 30000), chunk(b"IDAT", zlib.compress(bytes(1000))))
    jpeg = bytearray(saved(Image.new("RGB", (8, 8)), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 30000, 30000)
    message = "^unify: image-too-large: 30000x30000 pixels are more than the limit of 100000000 — remove it, or raise"
    tracemalloc.start()
    try:
        for call in (read_label, lambda d: relabel_png(d, TABLE), image_header, check_image):
            with pytest.raises(UnifyError, match=message):
                call(bomb)
        for call in (image_header, check_image):
            with pytest.raises(UnifyError, match=message):
                call(bytes(jpeg))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_the_pixel_limit_is_an_argument():
    data = label_png(street((20, 30)))
    for call in (
        read_label,
        image_header,
        check_image,
        lambda d, max_pixels: relabel_png(d, TABLE, max_pixels=max_pixels),
    ):
        call(data, max_pixels=600)
        with pytest.raises(UnifyError, match="image-too-large: 30x20 pixels are more than the limit of 599"):
            call(data, max_pixels=599)


def test_pillows_own_limit_does_not_apply(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert read_label(adam7(street((20, 30)))).shape == (20, 30)


# --- Cost ---


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_costs_nothing_and_so_do_headers():
    assert (
        run(
            "import sys, unify.codecs as c;"
            f"c.check_image({GOOD!r});"
            "print({'numba', 'PIL', 'cv2', 'datasets'} & set(sys.modules))"
        )
        == "set()\n"
    )


@pytest.mark.slow
def test_without_a_folder_to_cache_in_it_still_works():
    code = (
        "import numpy as np; from unify import codecs; from unify.kernels import png as loops;"
        "png, _ = codecs.encode_label(np.full((3, 5), 9, np.uint8));"
        "print(codecs.read_label(png).sum(), type(loops.tokenize._cache).__name__)"
    )
    assert run(code, NUMBA_CACHE_LOCATOR_CLASSES="IPythonCacheLocator") == "135 NullCache\n"

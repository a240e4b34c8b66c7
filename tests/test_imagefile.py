"""Headers of PNG and JPEG files and the check that they are whole, against Pillow."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from unify.errors import UnifyError
from unify.imagefile import ImageHeader, check_image, image_header

from .pngs import COLORS, XMP_JPEG, XMP_PNG, chunk, exif, jpeg_with, label_png, noise, png_with, saved, street, xmp

GOOD = label_png(street((20, 30)), 4)


@pytest.mark.parametrize(
    ("mode", "name", "bits"),
    [
        ("L", "gray", 8),
        ("P", "palette", 8),
        ("RGB", "rgb", 8),
        ("RGBA", "rgba", 8),
        ("LA", "gray-alpha", 8),
        ("1", "gray", 1),
        ("I;16", "gray", 16),
    ],
)
def test_png_headers(mode, name, bits):
    data = saved(Image.new(mode, (31, 17)))
    due = ImageHeader("png", 31, 17, name, bits if mode != "P" else image_header(data).bits)
    assert image_header(data) == check_image(data) == due


@pytest.mark.parametrize(("mode", "name"), [("L", "gray"), ("RGB", "rgb"), ("CMYK", "cmyk")])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 1}], ids=str)
def test_jpeg_headers(mode, name, options):
    data = saved(Image.fromarray(noise((50, 70))).convert(mode), "JPEG", **options)
    assert image_header(data) == check_image(data) == ImageHeader("jpeg", 70, 50, name, 8)


def test_only_the_header_needs_to_be_there_for_image_header():
    for data in (GOOD, saved(Image.fromarray(noise((50, 70))), "JPEG")):
        assert image_header(data[: len(data) // 2]) == check_image(data)
        with pytest.raises(UnifyError, match="bad-image: truncated"):
            check_image(data[: len(data) // 2])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_what_pillow_says(orientation):
    files = [jpeg_with(b"Exif\0\0" + exif(orientation, order)) for order in "<>"]
    files += [jpeg_with(XMP_JPEG + xmp(orientation)), jpeg_with(b"Exif\0\0" + exif(orientation), XMP_JPEG + xmp(3))]
    files += [png_with(chunk(b"eXIf", exif(orientation, order)), late=late) for order in "<>" for late in (0, 1)]
    files += [png_with(chunk(b"iTXt", XMP_PNG + xmp(orientation)), late=late) for late in (0, 1)]
    files += [png_with(chunk(b"iTXt", XMP_PNG + xmp(3)), chunk(b"eXIf", exif(orientation)))]
    files += [
        saved(Image.new("L", (4, 4)), format_, exif=made)
        for format_ in ("PNG", "JPEG")
        for made in [_made(orientation)]
    ]
    for data in files:
        with Image.open(io.BytesIO(data)) as image:
            assert image.getexif()[0x0112] == orientation
        assert check_image(data).orientation == image_header(data).orientation == orientation


def _made(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = orientation
    return made


@pytest.mark.parametrize(
    "body",
    [b"", b"II*\0", exif(0), exif(9), exif(6)[:20], b"XX*\0" + exif(6)[4:], exif(6)[:4] + b"\xff" * 4 + exif(6)[8:]],
)
def test_an_exif_block_that_says_nothing_means_upright(body):
    for data in (jpeg_with(b"Exif\0\0" + body), png_with(chunk(b"eXIf", body))):
        assert check_image(data).orientation == image_header(data).orientation == 1


def test_every_cut_and_every_flipped_bit_of_a_png_is_found():
    data = label_png(street((9, 14)), 4, COLORS[:90], pieces=2)
    data = data[:33] + chunk(b"tEXt", b"Title\0x") + data[33:]
    check_image(data)
    for size in range(len(data)):
        with pytest.raises(UnifyError, match="bad-image: "):
            check_image(data[:size])
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(UnifyError, match=r"bad-image: |image-too-large: "):
            check_image(bytes(changed))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}], ids=str)
def test_every_cut_of_a_jpeg_is_found(options):
    image = Image.fromarray(noise((40, 40)))
    thumbnail = saved(Image.fromarray(noise((8, 8))), "JPEG")  # has an end-of-image marker of its own
    data = saved(image, "JPEG", comment=thumbnail, **options)
    check_image(data)
    check_image(data + b"what follows the end")
    for size in range(len(data)):
        with pytest.raises(UnifyError, match="bad-image: "):
            check_image(data[:size])


BAD_JPEGS = {
    "no marker": (b"\xff\xd8\xff\xe0\0\4ab!!", "damaged: no JPEG marker at byte 8"),
    "ends at once": (b"\xff\xd8\xff\xd9", "damaged: JPEG marker D9 at byte 2"),
    "short segment": (b"\xff\xd8\xff\xe0\0\1ab", "damaged: a JPEG segment of 1 bytes"),
    "scan before frame": (b"\xff\xd8\xff\xda\0\2" + bytes(9), "damaged: pixel data before the frame header"),
    "frame of 5 components": (b"\xff\xd8\xff\xc0\0\x17\x08\0\1\0\1\5" + bytes(15), "its frame header is of no known"),
    "frame cut short": (b"\xff\xd8\xff\xc0\0\4\x08\0", "its frame header is of no known form"),
    "two frames": (b"\xff\xd8" + b"\xff\xc0\0\x0b\x08\0\1\0\1\1\1\1\0" * 2, "damaged: it has two frame headers"),
    "no rows": (b"\xff\xd8\xff\xc0\0\x0b\x08\0\0\0\1\1\1\1\0", "its header says 1x0 pixels"),
}


@pytest.mark.parametrize("name", BAD_JPEGS)
def test_bad_jpegs_are_refused_with_a_reason(name):
    data, message = BAD_JPEGS[name]
    for call in (image_header, check_image):
        with pytest.raises(UnifyError, match=f"^unify: bad-image: .*{message}"):
            call(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "an empty file"), (b"GIF89a??", "neither PNG nor JPEG: it begins with b'GIF89a..' — convert or remove it")],
)
def test_other_files_are_no_images(data, message):
    for call in (image_header, check_image):
        with pytest.raises(UnifyError, match=f"^unify: bad-image: {message}"):
            call(data)

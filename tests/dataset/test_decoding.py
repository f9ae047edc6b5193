import hashlib
import io
import os
import struct
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

from postergenres.dataset.decoding import (
    DECODER,
    PIXELS,
    PixelBudget,
    choose_scale,
    decode_plain_jpeg,
    decode_poster,
    fill_rows,
    lay_on_white,
    read_file,
    resize,
    try_decode,
)

import numpy as np
import pytest
import xxhash
from conftest import ROOT, image_bytes
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image


def save(tmp_path, image, name="x.png", **options):
    """Save an image, return its path."""
    image.save(tmp_path / name, **options)
    return tmp_path / name


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "1", "RGBA", "LA", "I;16"])
def test_every_mode_keeps_its_color(tmp_path, mode):
    grey = 255 if mode == "1" else 204
    if mode == "I;16":
        image = Image.fromarray(np.full((30, 20), grey * 256, dtype=np.uint16))
    else:
        image = Image.new("RGB", (20, 30), (grey, grey, grey)).convert(mode)
    pixels = decode_poster(save(tmp_path, image, "x.tif"), 15, 10)
    assert pixels.shape == (15, 10, 3) and pixels.dtype == np.uint8
    assert abs(pixels.astype(int) - grey).max() <= 2


@pytest.mark.parametrize(
    ("mode", "options"), [("RGBA", {}), ("LA", {}), ("P", {"transparency": 0})]
)
def test_transparent_pixels_become_white(tmp_path, mode, options):
    path = save(tmp_path, Image.new(mode, (20, 30), 0), **options)
    assert (decode_poster(path, 15, 10) == 255).all()


SILENT = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from postergenres.dataset.decoding import try_decode

bodies = [Path(name).read_bytes() for name in sys.argv[1:]]
with ThreadPoolExecutor(2) as pool:
    for _, error in pool.map(lambda body: try_decode(body, 15, 10), bodies):
        print(error)
from postergenres.download.images import check_image
for body in bodies:
    print(check_image(body, 10**6, 10**8))
"""


def test_pillow_writes_nothing_about_odd_images(tmp_path):
    """It would warn of what may be read anyway, and name no poster."""
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "x" * 100
    cut = image_bytes(exif=exif.tobytes()[:40])
    huge = image_bytes(0, (9500, 9500), "1", "PNG")
    samples = bytearray(image_bytes(form="TIFF"))
    place = samples.index(struct.pack("<HH", ExifTags.Base.SamplesPerPixel, 3)) + 8
    samples[place : place + 2] = struct.pack("<H", 999)
    names = []
    for number, body in enumerate((cut, huge, samples)):
        (tmp_path / str(number)).write_bytes(body)
        names.append(tmp_path / str(number))
    command = [sys.executable, "-c", SILENT, *names]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [
        "",
        "DecompressionBombError",
        "UnidentifiedImageError",
        "",
        "too large",
        "not an image",
    ]


def draw_detailed_jpeg(width, **options):
    """Return a buffer with a JPEG that has detail of all sizes."""
    rng = np.random.default_rng(0)
    pixels = rng.normal(128, 12, (width * 3 // 2, width, 3))
    for size in (3, 12, 48, 96):
        coarse = Image.fromarray(rng.integers(0, 256, (size * 3 // 2, size, 3), dtype=np.uint8))
        large = coarse.resize((width, width * 3 // 2), Image.Resampling.BICUBIC)
        pixels += (np.asarray(large) - 128.0) / 3
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
        buffer, "JPEG", quality=85, **options
    )
    return buffer


@pytest.mark.parametrize(("width", "most"), [(185, 0.3), (500, 2)])
def test_pixels_are_close_to_a_full_quality_resize(width, most):
    """The poster has detail of all sizes. At 500 pixels, the decoder scales it down first."""
    buffer = draw_detailed_jpeg(width)
    with Image.open(buffer) as image:
        best = image.resize((101, 150), Image.Resampling.BICUBIC)
    fast = decode_poster(buffer.getvalue(), 150, 101)
    assert abs(fast.astype(int) - np.asarray(best)).mean() <= most


@pytest.mark.parametrize("body", [b"", b"text", image_bytes()[:300], image_bytes(form="PNG")[:60]])
def test_the_error_for_a_broken_image_gives_a_reason(tmp_path, body):
    path = tmp_path / "x.jpg"
    path.write_bytes(body)
    pixels, error = try_decode(path, 15, 10)
    assert pixels is None and "Error" in error
    assert try_decode(b"text", 15, 10)[1] == "UnidentifiedImageError: cannot identify image file"


def png(width, height, colour_type, bits, rows):
    """Return a PNG that Pillow cannot write: 16 bits in several channels, or a huge size."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    body = b"\x89PNG\r\n\x1a\n"
    for chunk in (b"IHDR" + header, b"IDAT" + zlib.compress(rows), b"IEND"):
        body += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return body


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_channels_of_16_bits_are_scaled_to_8(colour_type, channels):
    """Test gray and RGB, with and without alpha, and gray in a PGM."""
    alpha = channels in (2, 4)
    pixel = [0xCC00] * (channels - alpha) + [0xFFFF] * alpha
    row = b"\0" + struct.pack(f">{channels}H", *pixel) * 20
    pgm = b"P5 20 30 65535\n" + struct.pack(">600H", *[0xCC00] * 600)
    for body in (png(20, 30, colour_type, 16, row * 30), pgm):
        assert abs(decode_poster(body, 15, 10).astype(int) - 0xCC).max() <= 1


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_an_animation_gives_its_first_frame(form):
    buffer = io.BytesIO()
    first, second = (Image.new("RGB", (20, 30), colour) for colour in ("red", "blue"))
    first.save(buffer, form, save_all=True, append_images=[second])
    red = decode_poster(buffer.getvalue(), 15, 10).astype(int)
    assert abs(red - (255, 0, 0)).max() <= 4


@pytest.mark.parametrize("size", [(1, 1), (10, 3000), (3000, 10), (101, 150)])
@pytest.mark.parametrize(("form", "mode"), [("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "RGB")])
def test_images_of_any_size_and_shape_are_decoded(size, form, mode):
    body = image_bytes((200, 100, 50), size, mode, form=form)
    pixels = decode_poster(body, 150, 101)
    assert pixels.shape == (150, 101, 3)
    assert abs(pixels.astype(int) - (200, 100, 50)).max() <= 6


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [12_000, 30_000])
def test_a_decompression_bomb_is_not_decoded(side):
    """The files claim 144 and 900 million pixels; Pillow only warns about the first."""
    pixels, error = try_decode(png(side, side, 0, 8, b""), 15, 10)
    assert pixels is None and "DecompressionBomb" in error
    if side == 12_000:
        assert error.endswith(": 12000 x 12000 pixels, over 89,478,485")


def test_floating_point_pixels_are_refused_with_a_reason(tmp_path):
    path = save(tmp_path, Image.new("F", (20, 30), 0.5), "x.tif")
    assert "floating-point" in try_decode(path, 15, 10)[1]


@pytest.mark.parametrize("value", [200, 60_000])
def test_gray_of_32_bits_is_scaled_only_if_above_255(value):
    buffer = io.BytesIO()
    Image.new("I", (20, 30), value).save(buffer, "TIFF")
    expected = value if value < 256 else value >> 8
    assert (decode_poster(buffer.getvalue(), 15, 10) == expected).all()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Truncated File", "ignore:Metadata Warn")
@pytest.mark.parametrize(
    ("kind", "value"), [(2, b"6\0\0\0"), (1, b"\6\0\0\0"), (7, b"6\0\0\0"), (3, b"\x09\0\0\0")]
)
def test_an_invalid_rotation_is_ignored(kind, value):
    """The orientation is a text, a byte, of an undefined type, or 9; or a byte is damaged."""
    entry = struct.pack("<HHHI", 1, 0x0112, kind, 1) + value
    exif = b"Exif\0\0II*\0\x08\0\0\0" + entry + bytes(4)
    for place in range(6, len(exif)):
        body = image_bytes((200, 30, 30), exif=exif[:place] + b"\6" + exif[place + 1 :])
        assert abs(decode_poster(body, 15, 10).astype(int) - (200, 30, 30)).max() <= 4
    body = image_bytes((200, 30, 30), exif=exif)
    assert abs(decode_poster(body, 15, 10).astype(int) - (200, 30, 30)).max() <= 4


@pytest.mark.parametrize("form", ["JPEG", "TIFF", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_large_photo_is_turned_upright_from_each_rotation(orientation, form):
    """The decoder scales the image as it is stored, before the rotation."""
    upright = Image.new("RGB", (600, 900), "blue")
    upright.paste((255, 0, 0), (0, 0, 600, 300))
    undo = {2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}  # Image.Transpose
    stored = upright
    for method in undo.get(orientation, []):
        stored = stored.transpose(Image.Transpose(method))
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    stored.save(buffer, form, exif=exif, quality=95)
    pixels = decode_poster(buffer.getvalue(), 150, 101)
    best = np.asarray(upright.resize((101, 150), Image.Resampling.BICUBIC))
    assert abs(pixels.astype(int) - best).mean() < 2


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_images_are_laid_on_white_in_strips_as_in_one_piece(mode):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (30, 20, 4), dtype=np.uint8), "RGBA")
    image = image.convert(mode)
    if mode == "P":
        image.info["transparency"] = 3
    rgba = image.convert("RGBA")
    whole = Image.alpha_composite(Image.new("RGBA", (20, 30), "white"), rgba).convert("RGB")
    for strip in (1, 45, 10_000):
        assert (np.asarray(lay_on_white(image, strip)) == np.asarray(whole)).all()


def test_threads_decode_a_bounded_number_of_pixels_at_the_same_time():
    """Eight threads decode images of 600 pixels with room for two; one that is larger is alone."""
    budget, now, most = PixelBudget(1300), set(), []

    def decode(number):
        with budget.reserve(600 if number else 10**9):
            now.add(number)
            most.append((len(now), 0 in now))
            time.sleep(0.01)
            now.discard(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode, range(12)))
    assert max(count for count, _ in most) == 2 and (1, True) in most and (2, True) not in most
    assert budget.free == 1300


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_an_image_waits_until_the_others_leave_room(form):
    with ThreadPoolExecutor(1) as pool:
        with PIXELS.reserve(PIXELS.pixels):
            result = pool.submit(decode_poster, image_bytes(form=form), 9, 9)
            time.sleep(0.05)
            assert not result.done()
        assert result.result(10).shape == (9, 9, 3)
    assert try_decode(image_bytes(form=form)[:-30], 9, 9)[1] and PIXELS.free == PIXELS.pixels


# --- tasks of the workers -------------------------------------------------------------------------


def test_a_task_fills_its_rows_and_returns_checksums_and_errors(tmp_path):
    bodies = {"red": image_bytes((255, 0, 0)), "broken": b"no", "blue": image_bytes((0, 0, 255))}
    for name, body in bodies.items():
        (tmp_path / name).write_bytes(body)
    array, paths = tmp_path / "array.npy", [tmp_path / name for name in (*bodies, "missing")]
    np.save(array, np.full((6, 15, 10, 3), 9, dtype=np.uint8))
    checksums, errors, xxh3 = fill_rows(array, 1, paths, DECODER)
    assert checksums == [*(hashlib.sha256(body).hexdigest() for body in bodies.values()), ""]
    assert errors == [
        "",
        "UnidentifiedImageError: cannot identify image file",
        "",
        "FileNotFoundError: No such file or directory",
    ]
    rows = np.load(array)
    assert xxh3 == xxhash.xxh3_64_hexdigest(rows[1:5]) and (rows[[0, 5]] == 9).all()
    assert (rows[1] == decode_poster(bodies["red"], 15, 10)).all()
    assert (rows[3] == decode_poster(bodies["blue"], 15, 10)).all()
    assert not rows[2].any() and not rows[4].any()


# --- which decoder --------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"mode": "L"}, {"keep_rgb": True}, {"progressive": True}])
def test_a_plain_jpeg_is_not_decoded_by_pillow(options):
    body = image_bytes((200, 30, 30), **options)
    with Image.open(io.BytesIO(body)) as image:
        best = np.asarray(image.convert("RGB").resize((10, 15), Image.Resampling.BICUBIC))
    assert abs(decode_plain_jpeg(body, 15, 10).astype(int) - best).max() <= 1


def with_exif():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return image_bytes(exif=exif)


NOT_PLAIN = {
    "PNG": image_bytes(form="PNG"),
    "text": b"text",
    "empty": b"",
    "EXIF data": with_exif(),
    "CMYK": image_bytes(mode="CMYK"),
    "cut short": image_bytes(size=(200, 300))[:-500],
    "no end": image_bytes()[:-2],
    "a broken header": image_bytes()[:100],
    "a broken table": image_bytes().replace(b"\xff\xc4", b"\xff\xc5", 1),
    "too many pixels": image_bytes((0, 0, 0), (9_500, 9_500)),
}


@pytest.mark.parametrize("body", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_everything_else_is_decoded_or_refused_by_pillow(body):
    assert decode_plain_jpeg(body, 15, 10) is None


DETAILED = draw_detailed_jpeg(185).getvalue()


@given(cut=st.integers(0, 20_000), place=st.integers(0, 20_000), value=st.integers(0, 255))
@example(cut=0, place=32, value=208)  # a larger quantization step: resizers differ more
@settings(max_examples=300, deadline=None)
def test_a_damaged_jpeg_is_accepted_only_if_pillow_accepts_it(cut, place, value):
    """One byte is changed, and the end may be missing."""
    body = bytearray(DETAILED[: max(len(DETAILED) - cut % 40, 0)])
    body[place % len(body)] = value
    pixels = decode_plain_jpeg(bytes(body), 150, 101)
    if pixels is not None:
        with Image.open(io.BytesIO(body)) as image:
            best = resize(np.asarray(image.convert("RGB")), 150, 101)
        assert abs(pixels.astype(int) - best).mean() < 1


@pytest.mark.parametrize(
    ("size", "scale"),
    [((300, 202), 1), ((599, 404), 1), ((600, 404), 2), ((1200, 807), 2), ((9000, 9000), 8)],
)
def test_a_jpeg_is_scaled_down_by_the_largest_power_of_two_that_leaves_twice_the_size(size, scale):
    assert choose_scale(*size, 150, 101) == scale


def test_a_file_that_is_too_large_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(bytes(100))
    assert len(read_file(tmp_path / "x", most=100)) == 100
    with pytest.raises(ValueError, match="over 99 bytes"):
        read_file(tmp_path / "x", most=99)

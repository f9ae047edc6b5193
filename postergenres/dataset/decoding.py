"""Image files to pixels: any image that people have, or the reason why there is none."""

import hashlib
import io
from contextlib import suppress

import numpy as np
import PIL
from PIL import ExifTags, Image, UnidentifiedImageError, features

from postergenres.download.manifest import poster_path

# What the pixels depend on beside the file and the size; another decoder may be a grey level off.
DECODER = f"Pillow {PIL.__version__}, libjpeg {features.version('jpg')}, bicubic"

# How to undo what EXIF's orientation says; 1 is upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = [TURNS[orientation] for orientation in (5, 6, 7, 8)]


def decode_poster(source, image_height, image_width):
    """Decode an image and resize it to RGB pixels, uint8 of shape (H, W, 3).

    Transparent pixels come out white, a photo's EXIF rotation is undone, of an animation the first
    frame is taken. Where a JPEG is twice too large its decoder scales it down, by a power of two
    (Pillow's draft mode); other images are scaled down fast at first, too (reducing_gap).

    Args:
        source: a path, or a binary file.

    Raises:
        ValueError: there is no file, or Pillow cannot decode it, or it has more pixels than
            `PIL.Image.MAX_IMAGE_PIXELS`.
    """
    try:
        with Image.open(source) as image:
            if image.width * image.height > Image.MAX_IMAGE_PIXELS:  # Pillow warns, up to twice it
                raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")
            return np.asarray(to_rgb(image, (image_width, image_height)))
    except UnidentifiedImageError as error:
        raise ValueError("UnidentifiedImageError: cannot identify image file") from error
    except Exception as error:  # on broken files the decoders raise whatever they stumble over
        raise ValueError(f"{type(error).__name__}: {error}"[:200]) from error


def to_rgb(image, size):
    """An opened image, upright, opaque, in RGB, and of this size: (width, height)."""
    turn = None
    with suppress(Exception):  # a rotation that cannot be read is none
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    width, height = size[::-1] if turn in SIDEWAYS else size
    image.draft("RGB", (2 * width, 2 * height))
    if turn is not None:
        image = image.transpose(turn)
    if image.mode == "F":
        raise ValueError("floating-point pixels, of which nobody knows how bright white is")
    if image.mode.startswith("I"):  # more than 8 bits of grey, which Pillow would cut off at 255
        grey = np.asarray(image)
        is_deep = image.mode != "I" or grey.max() > 255
        image = Image.fromarray((grey >> 8 if is_deep else grey).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode != "RGB":
        image = image.convert("RGB")
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


def try_decode(source, image_height, image_width):
    """(pixels, "") or (None, the reason why there are none)."""
    try:
        return decode_poster(source, image_height, image_width), ""
    except ValueError as error:
        return None, str(error)


def decode_rows(first, ids, known, data_dir, size):
    """Decode posters into consecutive rows of an array.

    Args:
        first: the row of the first poster.
        ids: of the movies of the rows.
        known: for each movie None, or (path of a .npy file, row, SHA-256) to take the pixels from
            if the poster's bytes still have this checksum.
        size: (H, W).

    Returns:
        first, the pixels, uint8 (ids, H, W, 3), the SHA-256 of each poster (empty where there is
        no file), the reason for each that has no pixels (else empty; its row stays black), and how
        many were decoded.
    """
    pixels = np.zeros((len(ids), *size, 3), dtype=np.uint8)
    checksums, errors, decoded = [], [], 0
    for row, (movie, source) in enumerate(zip(ids, known, strict=True)):
        checksum, error = "", ""
        try:
            body = poster_path(data_dir, movie).read_bytes()
            checksum = hashlib.sha256(body).hexdigest()
        except OSError as reason:
            error = f"{type(reason).__name__}: {reason.strerror}"
        if source and checksum == source[2]:
            pixels[row] = read_row(*source[:2])
        elif not error:
            decoded += 1
            one, error = try_decode(io.BytesIO(body), *size)
            pixels[row] = 0 if one is None else one
        checksums.append(checksum)
        errors.append(error)
    return first, pixels, checksums, errors, decoded


def write_rows(array, first, pixels):
    """Write pixels into a .npy file, uint8 (N, H, W, 3), from the row `first` on.

    Written to the file, not to a memory map: there, a full disk would kill the process.
    """
    with open(array, "r+b") as file:
        file.seek(np.load(array, mmap_mode="r").offset + first * pixels[0].nbytes)
        file.write(pixels)


def fill_rows(array, *task):
    """Decode posters into a .npy file, in a process of a pool: decode_rows() but for the pixels."""
    first, pixels, *told = decode_rows(*task)
    write_rows(array, first, pixels)
    return first, *told


def read_row(array, row):
    """One row of a .npy file; a map that is dropped at once leaves no pages in memory."""
    return np.load(array, mmap_mode="r")[row]

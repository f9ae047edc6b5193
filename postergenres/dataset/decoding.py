"""Decode image files to pixels, or return the reason why a file cannot be decoded.

Pool workers import this module: without pandas they start in 0.3 s, with pandas in 0.9 s.
"""

import hashlib
import io
import logging
import platform
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

from postergenres.settings import MOST_PIXELS

import numpy as np
import PIL
import simplejpeg
import xxhash
from cykooz_resizer import FilterType, ImageData, PixelType, ResizeAlg, ResizeOptions, Resizer
from PIL import ExifTags, Image, UnidentifiedImageError, features

# Pillow's warnings and its log name no poster. For threads, too, so once for each process.
warnings.filterwarnings("ignore", module="PIL")
logging.getLogger("PIL").setLevel(logging.CRITICAL)

# Pixels also depend on the decoders: another version may differ by a gray level.
DECODER = (
    f"simplejpeg {simplejpeg.__version__}, cykooz-resizer {version('cykooz-resizer')}; "
    f"Pillow {PIL.__version__}, libjpeg {features.version('jpg')}, bicubic"
)
CATMULL_ROM = ResizeOptions(ResizeAlg.convolution(FilterType.catmull_rom))  # Pillow's bicubic

JPEG_START, EXIF_START = b"\xff\xd8\xff", b"Exif\0\0"
PLAIN_COLORS = ("YCbCr", "Gray", "RGB")  # color spaces, as simplejpeg names them

KEPT_PIXELS = 500_000  # decoded in a buffer that a thread keeps
MOST_BYTES = 300_000_000  # of a file; the largest image takes less without compression
PIXEL_BUDGET = 50_000_000  # that threads decode at the same time; some 8 bytes of memory each

# The operation that undoes each EXIF orientation; 1 is upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Formats that people have posters in. EPS is not one of them: Pillow would run Ghostscript on it.
FORMATS = [
    name
    for name in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
    if name != "AVIF" or features.check("avif")
]
SIDEWAYS = [TURNS[orientation] for orientation in (5, 6, 7, 8)]


def decode_poster(source: bytes | str | Path, image_height: int, image_width: int) -> np.ndarray:
    """Return the pixels of a file, or of its bytes, resized: RGB, uint8 of shape (H, W, 3).

    Transparent pixels become white, the EXIF rotation of a photo is undone, and an animation is
    represented by its first frame. Large images are reduced, a JPEG as it is decoded, others by a
    whole number (reducing_gap), before they are resized: this is faster.

    Raises:
        ValueError: the file is missing or over MOST_BYTES, Pillow cannot decode it, or it has more
            than MOST_PIXELS pixels.
    """
    try:
        body = source if isinstance(source, bytes) else read_file(source)
        pixels = decode_plain_jpeg(body, image_height, image_width)
        if pixels is not None:
            return pixels
        with Image.open(io.BytesIO(body), formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:  # Pillow only warns up to twice
                size = f"{image.width} x {image.height} pixels, over {MOST_PIXELS:,}"
                raise Image.DecompressionBombError(size)
            with PIXELS.reserve(image.width * image.height):
                return np.asarray(to_rgb(image, (image_width, image_height)))
    except UnidentifiedImageError as error:
        raise ValueError("UnidentifiedImageError: cannot identify image file") from error
    except Exception as error:  # decoders raise many types for broken files
        raise ValueError(f"{type(error).__name__}: {error}"[:200]) from error


def read_file(path: str | Path, most: int = MOST_BYTES) -> bytes:
    """Return the bytes of a file; raise a ValueError if there are over `most`."""
    with open(path, "rb") as file:
        body = file.read(most + 1)
    if len(body) > most:
        raise ValueError(f"over {most:,} bytes")
    return body


def decode_plain_jpeg(body: bytes, image_height: int, image_width: int) -> np.ndarray | None:
    """Return the pixels of a plain JPEG, resized, or None if Pillow must decode the file.

    simplejpeg and cykooz-resizer are faster. Pillow decodes what may need more than pixels in RGB:
    other formats, a JPEG with EXIF data, which may demand a rotation, in CMYK, with too many
    pixels, or with any fault.
    """
    if not body.startswith(JPEG_START) or EXIF_START in body:
        return None
    try:
        height, width, colors, _ = simplejpeg.decode_jpeg_header(body)
        height, width = int(height), int(width)
        if colors not in PLAIN_COLORS or height * width > MOST_PIXELS:
            return None
        scale = choose_scale(height, width, image_height, image_width)
        with PIXELS.reserve(height * width):
            return resize(decode_scaled(body, height, width, scale), image_height, image_width)
    except ValueError:
        return None


def decode_scaled(body: bytes, height: int, width: int, scale: int) -> np.ndarray:
    """Return the pixels of a plain JPEG of this height and width, scaled down as it is decoded.

    They are RGB, uint8 (height / scale, width / scale, 3), rounded up, and valid until the thread
    calls again.
    """
    rows, columns = -(-height // scale), -(-width // scale)
    buffer = TOOLS.buffer if rows * columns <= KEPT_PIXELS else None
    return simplejpeg.decode_jpeg(body, "RGB", min_height=rows, min_width=columns, buffer=buffer)


def choose_scale(height: int, width: int, image_height: int, image_width: int) -> int:
    """Return by which power of two, up to 8, a JPEG of at least twice the size is scaled down."""
    scales = (8, 4, 2, 1)
    wanted = min(height // (2 * image_height), width // (2 * image_width))
    return next(scale for scale in scales if scale <= max(wanted, 1))


class Tools(threading.local):
    """The buffers of a thread: new memory for each poster would cost a third more time."""

    def __init__(self) -> None:
        self.resizer, self.buffer = Resizer(), bytearray(3 * KEPT_PIXELS)


TOOLS = Tools()


def resize(pixels: np.ndarray, image_height: int, image_width: int) -> np.ndarray:
    """Return pixels of shape (rows, columns, 3), uint8, resized to (H, W, 3)."""
    rows, columns, _ = pixels.shape
    source = ImageData(columns, rows, PixelType.U8x3, pixels.tobytes())
    result = ImageData(image_width, image_height, PixelType.U8x3)
    TOOLS.resizer.resize(source, result, CATMULL_ROM)
    return np.frombuffer(result.get_buffer(), np.uint8).reshape(image_height, image_width, 3)


def to_rgb(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return an opened image upright, opaque, in RGB, and resized to `size`: (width, height)."""
    if image.format == "TIFF":
        image.load()  # Pillow turns a TIFF itself, and deletes the rotation
    turn = None
    with suppress(Exception):  # an unreadable rotation counts as none
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    width, height = size[::-1] if turn in SIDEWAYS else size
    image.draft("RGB", (2 * width, 2 * height))
    if turn is not None:
        image = image.transpose(turn)
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose value for white is unknown")
    if image.mode.startswith("I"):  # gray of more than 8 bits, which Pillow would clip at 255
        gray = np.asarray(image)
        is_deep = image.mode != "I" or gray.max() > 255
        image = Image.fromarray((gray >> 8 if is_deep else gray).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = lay_on_white(image)
    if image.mode != "RGB":
        image = image.convert("RGB")
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


def lay_on_white(image: Image.Image, strip: int = 2**20) -> Image.Image:
    """Return a transparent image in RGB on white; a strip of pixels at a time to save memory."""
    result = Image.new("RGB", image.size)
    rows = max(1, strip // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        part = image.crop(box).convert("RGBA")
        white = Image.new("RGBA", part.size, "white")
        result.paste(Image.alpha_composite(white, part).convert("RGB"), box)
    return result


class PixelBudget:
    """Bound the pixels that the threads of a process decode at once; a larger image is alone."""

    def __init__(self, pixels: int) -> None:
        self.pixels, self.free = pixels, pixels
        self.has_changed = threading.Condition()

    @contextmanager
    def reserve(self, pixels: int) -> Iterator[None]:
        """Wait until there is room for an image; hold the room during the block."""
        pixels = min(pixels, self.pixels)
        with self.has_changed:
            self.has_changed.wait_for(lambda: self.free >= pixels)
            self.free -= pixels
        try:
            yield
        finally:
            with self.has_changed:
                self.free += pixels
                self.has_changed.notify_all()


PIXELS = PixelBudget(PIXEL_BUDGET)


def try_decode(
    source: bytes | str | Path, image_height: int, image_width: int
) -> tuple[np.ndarray | None, str]:
    """Decode like `decode_poster`; return (pixels, ""), or (None, the reason) after an error."""
    try:
        return decode_poster(source, image_height, image_width), ""
    except ValueError as error:
        return None, str(error)


# --- tasks of the workers -------------------------------------------------------------------------


def check_worker(decoder: str, data_dir: Path) -> None:
    """Check that this process has the DECODER of the main one, and sees its data folder.

    Raises:
        OSError: its results would be others.
    """
    if decoder != DECODER:
        raise OSError(
            f"a worker on {platform.node()} decodes with {DECODER}, not with {decoder}; "
            "it needs the packages of requirements.txt"
        )
    if not data_dir.is_dir():
        raise OSError(f"a worker on {platform.node()} does not see the folder {data_dir}")


def fill_rows(
    array: Path, first: int, paths: Sequence[Path], decoder: str
) -> tuple[list[str], list[str], str]:
    """Decode posters into rows of a .npy file, uint8 (N, H, W, 3), from row `first` on.

    Return the SHA-256 of each poster, empty if the file cannot be read; the reason for each poster
    without pixels, whose row is black, empty for the others; and the XXH3 of the rows.
    """
    check_worker(decoder, array.parent)
    images = np.load(array, mmap_mode="r")
    _, height, width, _ = images.shape
    pixels = np.zeros((len(paths), height, width, 3), dtype=np.uint8)
    checksums, errors = [], []
    for row, path in enumerate(paths):
        checksum, decoded = "", None
        try:
            body = path.read_bytes()
            checksum = hashlib.sha256(body).hexdigest()
            decoded, error = try_decode(body, height, width)
        except OSError as reason:
            error = f"{type(reason).__name__}: {reason.strerror}"
        if decoded is not None:
            pixels[row] = decoded
        checksums.append(checksum)
        errors.append(error)
    with open(array, "r+b") as file:  # with a memory map, a full disk would kill the process
        file.seek(images.offset + first * images[0].nbytes)
        file.write(pixels.data)
    return checksums, errors, xxhash.xxh3_64_hexdigest(pixels.data)

"""Check that downloaded bytes are a complete image."""

import io
import re
import warnings

from postergenres.settings import MOST_PIXELS

from PIL import Image

TOO_LARGE = "too large"  # how the reason begins if the image is larger than the limits
NOT_AN_IMAGE = "not an image"  # how the reason begins if the bytes are something else
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")  # no others: Pillow hands an EPS file to Ghostscript
MAX_SCANS = 100  # of a JPEG; a progressive one has ten, each costs as much as the whole image

# They name no poster. For threads, too, so once for the process.
warnings.filterwarnings("ignore", module="PIL")


def check_image(body: bytes, max_bytes: int, max_pixels: int) -> str:
    """Decode the bytes of an image to find out whether they are complete.

    Args:
        body: the bytes of a file.
        max_bytes: the largest file.
        max_pixels: the largest image to decode; at most `MOST_PIXELS` counts.

    Returns:
        Why the bytes are no complete image; "" if Pillow decodes the image to its last byte.
    """
    max_pixels = min(max_pixels, MOST_PIXELS)
    if len(body) > max_bytes:
        return f"{TOO_LARGE}: over {max_bytes:,} bytes"
    try:
        with Image.open(io.BytesIO(body), formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                return f"{TOO_LARGE}: {image.width} x {image.height} pixels, over {max_pixels:,}"
            if image.format in ("JPEG", "MPO") and body.count(b"\xff\xda") > MAX_SCANS:
                return f"{NOT_AN_IMAGE}: over {MAX_SCANS} scans"
            image.draft("RGB", (1, 1))  # reads every byte of a JPEG, computes 1 pixel in 64
            image.load()
    except Image.DecompressionBombError as error:  # twice Pillow's limit; its text has the pixels
        pixels = re.search(r"\d+", str(error))
        size = f"{int(pixels[0]):,}" if pixels else "too many"
        return f"{TOO_LARGE}: {size} pixels, over {max_pixels:,}"
    except Image.UnidentifiedImageError:
        return f"{NOT_AN_IMAGE}: no JPEG, PNG, WebP or GIF"
    except Exception as error:  # Pillow's decoders raise many types on broken files
        is_truncated = "truncated" in str(error).lower()  # Pillow has no exception of its own
        return f"{'cut short' if is_truncated else NOT_AN_IMAGE}: {shorten_error(error)}"
    return ""


def shorten_error(error: Exception) -> str:
    """Return an exception as one line of at most 200 characters, its class first."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]

"""Check that downloaded bytes are a complete image."""

import io
import re

from postergenres.download.faults import Fault, exception_line
from postergenres.old_settings import MOST_PIXELS

from PIL import Image

MAX_SCANS = 100  # of a JPEG; a progressive one has ten, each costs as much as the whole image

# The first bytes of images that are not read, or so broken that Pillow knows none. Other bytes may
# be a page in place of an image.
KINDS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"RIFF": "WebP",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"\0\0\1\0": "ICO",
    b"\0\0\0\x0cjP": "JPEG 2000",
    b"\0\0\0\x1cftyp": "AVIF",
    b"\0\0\0\x20ftyp": "AVIF",
    b"8BPS": "PSD",
    b"%PDF": "PDF",
    b"%!PS": "EPS",
    b"<svg": "SVG",
}


def check_image(body, max_pixels):
    """Decode the bytes of an image to find out whether they are complete.

    Args:
        body: the bytes of a file.
        max_pixels: the largest image to decode, in pixels; at most `MOST_PIXELS` counts.

    Returns:
        (fault, error): a `Fault` and its text for posters.csv, or (None, "") if Pillow decodes
        the image to its last byte.
    """
    max_pixels = min(max_pixels, MOST_PIXELS)
    try:
        # No other formats: Pillow would hand an EPS file to Ghostscript.
        with Image.open(io.BytesIO(body), formats=("JPEG", "PNG", "WEBP", "GIF")) as image:
            if image.width * image.height > max_pixels:
                return explain(Fault.TOO_MANY_PIXELS, f"{image.width} x {image.height}", max_pixels)
            if image.format in ("JPEG", "MPO") and body.count(b"\xff\xda") > MAX_SCANS:
                return explain(Fault.BROKEN_IMAGE, f"over {MAX_SCANS} scans")
            image.draft("RGB", (1, 1))  # reads every byte of a JPEG, computes 1 pixel in 64
            image.load()
    except Image.DecompressionBombError as error:  # twice Pillow's limit; its text has the pixels
        pixels = re.search(r"\d+", str(error))
        size = f"{int(pixels[0]):,}" if pixels else "too many"
        return explain(Fault.TOO_MANY_PIXELS, size, max_pixels)
    except Image.UnidentifiedImageError:
        kind = next((kind for start, kind in KINDS.items() if body.startswith(start)), None)
        if kind:
            return explain(Fault.BROKEN_IMAGE, f"it begins like a {kind} file")
        return explain(Fault.NOT_AN_IMAGE)
    except Exception as error:  # Pillow's decoders raise many types on broken files
        is_truncated = "truncated" in str(error).lower()  # Pillow has no exception of its own
        fault = Fault.CUT_SHORT if is_truncated else Fault.BROKEN_IMAGE
        return explain(fault, exception_line(error))
    return None, ""


def explain(fault, *details):
    """Return a fault and its text for posters.csv."""
    return fault, fault.format(*details)

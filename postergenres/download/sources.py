"""Where the posters are: in a folder, or under URLs."""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from postergenres.download.metadata import is_url

SUFFIXES = [".jpg", ".jpeg", ".png", ".webp", ".gif"]  # of images in a folder; also in capitals


@dataclass(frozen=True)
class Source:
    """Where the posters of so many movies are: in a folder, or under URLs and this prefix."""

    movies: int
    folder: str | None = None
    prefix: str = ""


def find_source(movies, poster_base):
    """Go through the movies once to see where their posters are. Returns a `Source`.

    A folder that holds none of the movies gives way to the URLs in the CSV.
    """
    base = str(poster_base or "")
    folder = Path(base).as_posix() if base and Path(base).is_dir() else None
    count, has_urls, is_used = 0, False, False
    for movie in movies:
        count += 1
        has_urls = has_urls or is_url(movie["poster"])
        is_used = is_used or (folder is not None and find_image(folder, movie) != "")
    print(movies.summary())
    if not count:
        sys.exit(f"{movies.path} lists no movies. Check METADATA_CSV, then run: python database.py")
    if folder is None and not has_urls:
        check_base(movies, base)
    if base and has_urls and not is_used and not is_url(base):
        print(f"{base} holds none of these movies: using the URLs in the CSV")
        folder = None
    return Source(count, folder, base if is_url(base) else "")


def check_base(movies, base):
    """Exit where there are neither images in a folder nor URLs, nor what would make URLs."""
    again = "Set POSTER_BASE in database.py, then run: python database.py"
    if not movies.has_posters:
        sys.exit(
            f"{movies.path} lists no posters: it has no column poster_path or Poster. A folder of "
            f"images named by id would do. {again}"
        )
    if not is_url(base):
        sys.exit(
            f"POSTER_BASE ({base or None}) is neither a URL nor a folder, and the CSV lists no "
            f"poster URLs. {again}"
        )


def locate(movie, source):
    """A movie's row of posters.csv: `url` says where its poster is, a URL or a path.

    `status` is empty where the poster is yet to be fetched, and `gone` where there is none.
    """
    url, error = find_url(movie, source)
    row = {key: movie[key] for key in ("id", "title", "genres")}
    return row | {"url": url, "status": "" if url else "gone", "error": error}


def find_url(movie, source):
    """Where a movie's poster is, as (URL or path, ""), or ("", the reason why it is nowhere).

    What the CSV writes never leads out of a folder: a name is that of one file directly in it.
    """
    listed = movie["poster"]
    # Windows takes CON for a device, with or without a suffix.
    if not re.fullmatch(
        r"(?!(con|prn|aux|nul|com\d|lpt\d)$)[\w-]{1,100}", movie["id"], re.A | re.I
    ):
        return "", "the id cannot name a file"
    if source.folder is not None:
        path = find_image(source.folder, movie)
        return path, "" if path else f"no image in {source.folder}"
    if not listed:
        return "", "no poster listed"
    if is_url(listed):
        return (listed, "") if len(listed) <= 4000 else ("", "the poster URL is too long")
    if re.match(r"[a-z][a-z0-9+.-]*:", listed, re.I):
        return "", "the poster is listed under another scheme than http"
    if not source.prefix:
        return "", "the poster is listed as a path, and POSTER_BASE is no URL"
    path = listed.removeprefix("/")
    if not all(map(is_file_name, path.split("/"))):
        return "", "the poster path does not name a file"
    return f"{source.prefix.rstrip('/')}/{path}", ""


def find_image(folder, movie):
    """The path of the image that the CSV names or that is named by the id, or an empty string."""
    names = [movie["poster"].removeprefix("/")]
    for stem in filter(None, dict.fromkeys((movie["id"], *movie["names"]))):
        names += [stem + suffix for lower in SUFFIXES for suffix in (lower, lower.upper())]
    for name in names:
        path = f"{folder}/{name}"
        if is_file_name(name) and os.path.isfile(path):
            return path
    return ""


def is_file_name(name):
    """Whether this can name a file directly in a folder, on any system."""
    is_plain = re.fullmatch(r'(?!\.{1,2}$)[^\x00-\x1f<>:"/\\|?*\ufffd]+', name)
    return is_plain is not None and len(name.encode("utf-8", "replace")) <= 255


def list_images(folder):
    """The paths of the images directly in a folder, sorted by name."""
    return [path for path in sorted(Path(folder).iterdir()) if path.suffix.lower() in SUFFIXES]

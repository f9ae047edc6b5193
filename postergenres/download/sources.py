"""Find out where the posters are: in a folder, or at URLs."""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from postergenres.download.faults import Fault
from postergenres.download.metadata import LISTED, Movies, is_url
from postergenres.download.proxies import exit_if_a_proxy_is_unusable

SUFFIXES = [".jpg", ".jpeg", ".png", ".webp", ".gif"]  # of images in a folder; also in capitals
MAX_URL = 4000  # characters

# An id that can name a file. Windows takes CON for a device, with or without a suffix.
USABLE_ID = re.compile(r"(?!(con|prn|aux|nul|com\d|lpt\d)$)[\w-]{1,100}", re.A | re.I)
USABLE_NAME = re.compile(r'(?!\.{1,2}$)[^\x00-\x1f<>:"/\\|?*\ufffd]+')
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.I)


@dataclass(frozen=True)
class Source:
    """Where the posters are.

    movies: the number of movies.
    folder: the folder of the images, or None if all posters are at URLs. A movie without an image
        in the folder is at its URL, if it has one.
    prefix: the URL that precedes the listed paths, or "".
    setting: the constant of database.py that names the folder or the prefix.
    """

    movies: int
    folder: str | None = None
    prefix: str = ""
    setting: str = "POSTER_BASE"


def open_listings(metadata_csv, poster_base, train_only_csv, train_only_posters, limit):
    """Open the CSVs of movies, find out where their posters are, and print what was read.

    Args:
        metadata_csv, train_only_csv: the CSVs; None for no second one. Movies of the second CSV
            that the first one lists, too, are dropped.
        poster_base, train_only_posters: where their posters are, see `find_source`.
        limit: the number of movies of each CSV to stop after; None for all.

    Returns:
        A list of (`Movies`, `Source`), one for each CSV.

    Raises:
        MetadataError: a CSV is missing or unusable.
        SystemExit: see `find_source`.
    """
    movies = Movies(metadata_csv, limit)
    listings = [(movies, find_source(movies, poster_base))]
    if train_only_csv is not None:
        train_only = Movies(train_only_csv, limit, "TRAIN_ONLY_CSV", movies.read_ids())
        source = find_source(train_only, train_only_posters, "TRAIN_ONLY_POSTERS")
        listings.append((train_only, source))
    return listings


def find_source(movies, poster_base, setting="POSTER_BASE"):
    """Read all movies once to find out where their posters are, and print what was read.

    Args:
        movies: the `Movies`.
        poster_base: a folder, a URL prefix or None. If the folder does not hold the poster of a
            movie and the CSV lists its URL, the URL is used.
        setting: the constant of database.py that `poster_base` is from, for messages.

    Returns:
        A `Source`.

    Raises:
        SystemExit: there are no movies, their posters cannot be anywhere, or they are at URLs and
            the environment names an unusable proxy.
    """
    base = str(poster_base or "")
    folder = Path(base).as_posix() if base and Path(base).is_dir() else None
    count, in_folder, at_urls = 0, 0, 0
    for movie in movies:
        count += 1
        if folder is not None and find_image(folder, movie):
            in_folder += 1
        else:
            at_urls += is_url(movie["poster"])
    print(movies.summary())
    if not count:
        others = " that METADATA_CSV does not list" if movies.dropped[LISTED] else ""
        sys.exit(
            f"{movies.path} lists no movies{others}. Check {movies.setting}, then run: "
            "python database.py"
        )
    if folder is None and not at_urls:
        require_prefix(movies, base, setting)
    if base and at_urls and not is_url(base):
        if in_folder:
            others = "1 other is" if at_urls == 1 else f"{at_urls:,} others are"
            print(f"{base} holds {in_folder:,} of the posters; {others} at the URLs in the CSV")
        else:
            print(f"{base} holds none of these movies: using the URLs in the CSV")
            folder = None
    if at_urls or is_url(base):
        exit_if_a_proxy_is_unusable()
    return Source(count, folder, base if is_url(base) else "", setting)


def require_prefix(movies, base, setting):
    """Exit unless the CSV lists posters and `base`, from a setting, is a URL prefix for them."""
    again = f"Set {setting} in database.py, then run: python database.py"
    if not movies.has_posters:
        sys.exit(
            f"{movies.path} lists no posters: it has no column poster_path or Poster. Put "
            f"images named by id into a folder. {again}"
        )
    if not is_url(base):
        sys.exit(
            f"{setting} ({base or None}) is neither a URL nor a folder, and the CSV lists no "
            f"poster URLs. {again}"
        )


def list_rows(listings):
    """Yield a row of posters.csv for each movie, as it is before the download, see `make_row`.

    Args:
        listings: see `open_listings`. If there are two, the rows have a further item `train_only`:
            "yes" for the movies of the second one, else "".
    """
    for number, (movies, source) in enumerate(listings):
        train_only = {"train_only": "yes" if number else ""} if len(listings) > 1 else {}
        for movie in movies:
            yield make_row(movie, source) | train_only


def make_row(movie, source):
    """Return a movie's row of posters.csv, as it is before the download.

    Returns:
        A dict: id, title, genres, url (a URL or a path), status, error. `status` is "" if the
        poster has a location, and `gone` if it has none.
    """
    url, error = locate_poster(movie, source)
    row = {key: movie[key] for key in ("id", "title", "genres")}
    return row | {"url": url, "status": "" if url else "gone", "error": error}


def locate_poster(movie, source):
    """Return the location of a movie's poster; it is never outside the folder of the source.

    Returns:
        (location, error): a URL or path and "", or "" and the reason why there is no location.
    """
    listed = movie["poster"]
    path = listed.removeprefix("/")
    if not USABLE_ID.fullmatch(movie["id"]):
        return "", Fault.UNUSABLE_ID.format()
    if source.folder is not None:
        image = find_image(source.folder, movie)
        if image or not is_url(listed):
            return image, "" if image else Fault.NO_IMAGE_IN_FOLDER.format(source.folder)
    if not listed:
        return "", Fault.NOT_LISTED.format()
    if is_url(listed):
        return (listed, "") if len(listed) <= MAX_URL else ("", Fault.LONG_URL.format())
    if SCHEME.match(listed):
        return "", Fault.OTHER_SCHEME.format()
    if not source.prefix:
        return "", Fault.PATH_WITHOUT_PREFIX.format(source.setting)
    if not all(map(is_file_name, path.split("/"))):
        return "", Fault.UNUSABLE_PATH.format()
    return f"{source.prefix.rstrip('/')}/{path}", ""


def find_image(folder, movie):
    """Return the path of a movie's image in a folder, named by the CSV or by the id, or ""."""
    names = [movie["poster"].removeprefix("/")]
    for stem in filter(None, dict.fromkeys((movie["id"], *movie["names"]))):
        names += [stem + suffix for lower in SUFFIXES for suffix in (lower, lower.upper())]
    for name in names:
        path = f"{folder}/{name}"
        if is_file_name(name) and os.path.isfile(path):
            return path
    return ""


def is_file_name(name):
    """Return whether `name` can name a file directly in a folder, on every operating system."""
    is_usable = USABLE_NAME.fullmatch(name) is not None
    return is_usable and len(name.encode("utf-8", "replace")) <= 255


def list_images(folder):
    """Return the paths of the images directly in a folder, sorted by name."""
    return [path for path in sorted(Path(folder).iterdir()) if path.suffix.lower() in SUFFIXES]

"""Find out where the posters are: in a folder, or at URLs."""

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from postergenres.download.manifest import Poster
from postergenres.download.metadata import LISTED, Movie, Movies, is_url

SUFFIXES = [".jpg", ".jpeg", ".png", ".webp", ".gif"]  # of images in a folder; also in capitals
MAX_URL = 4000  # characters

# An id that can name a file. Windows takes CON for a device, with or without a suffix.
USABLE_ID = re.compile(r"(?!(con|prn|aux|nul|com\d|lpt\d)$)[\w-]{1,100}", re.A | re.I)
USABLE_NAME = re.compile(r'(?!\.{1,2}$)[^\x00-\x1f<>:"/\\|?*\ufffd]+')
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.I)


@dataclass(frozen=True)
class Source:
    """Where the posters of a CSV are.

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


Listing = tuple[Movies, Source]


def open_listings(
    metadata_csv: str | Path,
    poster_base: str | Path | None,
    train_only_csv: str | Path | None = None,
    train_only_posters: str | Path | None = None,
    limit: int | None = None,
) -> list[Listing]:
    """Read the CSVs of movies, find out where their posters are, and print what was read.

    Args:
        metadata_csv, train_only_csv: the CSVs; None for no second one. Movies of the second CSV
            that the first one lists, too, are dropped.
        poster_base, train_only_posters: where their posters are, see `find_source`.
        limit: the number of movies of each CSV to stop after; None for all.

    Raises:
        SystemExit: a CSV is missing or unusable, or see `find_source`.
    """
    movies = Movies(Path(metadata_csv), limit)
    listings = [(movies, find_source(movies, poster_base))]
    if train_only_csv is not None:
        more = Movies(Path(train_only_csv), limit, "TRAIN_ONLY_CSV")
        listed = frozenset(movie.id.lower() for movie in movies)
        source = find_source(more, train_only_posters, "TRAIN_ONLY_POSTERS", listed)
        listings.append((more, source))
    return listings


def find_source(
    movies: Movies,
    poster_base: str | Path | None,
    setting: str = "POSTER_BASE",
    listed: frozenset[str] = frozenset(),
) -> Source:
    """Survey the movies, find out where their posters are, and print what was read.

    Args:
        movies: the `Movies`.
        poster_base: a folder, a URL prefix or None. If the folder does not hold the poster of a
            movie and the CSV lists its URL, the URL is used.
        setting: the constant of database.py that `poster_base` is from, for messages.
        listed: ids of movies to drop, see `Movies.survey`.

    Raises:
        SystemExit: there are no movies, or their posters cannot be anywhere.
    """
    base = str(poster_base or "")
    folder = Path(base).as_posix() if base and Path(base).is_dir() else None
    count, in_folder, at_urls = 0, 0, 0
    for movie in movies.survey(listed):
        count += 1
        if folder is not None and find_image(folder, movie):
            in_folder += 1
        else:
            at_urls += is_url(movie.poster)
    print(movies.summarize())
    if not count:
        others = " that METADATA_CSV does not list" if LISTED in movies.dropped.values() else ""
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
    return Source(count, folder, base if is_url(base) else "", setting)


def require_prefix(movies: Movies, base: str, setting: str) -> None:
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


def list_posters(listings: list[Listing]) -> Iterator[Poster]:
    """Yield the poster of each movie; it is `gone` if it has no location, else without a status.

    Args:
        listings: see `open_listings`; the movies of a second one are only trained on.
    """
    for number, (movies, source) in enumerate(listings):
        for movie in movies:
            url, error = locate_poster(movie, source)
            yield Poster(
                id=movie.id,
                title=movie.title,
                genres=movie.genres,
                url=url,
                status="" if url else "gone",
                error=error,
                train_only="yes" if number else "",
            )


def locate_poster(movie: Movie, source: Source) -> tuple[str, str]:
    """Return the location of a movie's poster; it is never outside the folder of the source.

    Returns:
        (location, error): a URL or path and "", or "" and the reason why there is no location.
    """
    listed = movie.poster
    path = listed.removeprefix("/")
    if not USABLE_ID.fullmatch(movie.id):
        return "", "the id cannot name a file"
    if source.folder is not None:
        image = find_image(source.folder, movie)
        if image or not is_url(listed):
            return image, "" if image else f"no image in {source.folder}"
    if not listed:
        return "", "no poster listed"
    if is_url(listed):
        return (listed, "") if len(listed) <= MAX_URL else ("", "the poster URL is too long")
    if SCHEME.match(listed):
        return "", "the poster is listed under another scheme than http"
    if not source.prefix:
        return "", f"the poster is listed as a path, and {source.setting} is no URL"
    if not all(map(is_file_name, path.split("/"))):
        return "", "the poster path does not name a file"
    return f"{source.prefix.rstrip('/')}/{path}", ""


def find_image(folder: str, movie: Movie) -> str:
    """Return the path of a movie's image in a folder, named by the CSV or by the id, or ""."""
    names = [movie.poster.removeprefix("/")]
    for stem in filter(None, dict.fromkeys((movie.id, *movie.names))):
        names += [stem + suffix for lower in SUFFIXES for suffix in (lower, lower.upper())]
    for name in names:
        path = f"{folder}/{name}"
        if is_file_name(name) and os.path.isfile(path):
            return path
    return ""


def is_file_name(name: str) -> bool:
    """Return whether `name` can name a file directly in a folder, on every operating system."""
    is_usable = USABLE_NAME.fullmatch(name) is not None
    return is_usable and len(name.encode("utf-8", "replace")) <= 255


def list_images(folder: str | Path) -> list[Path]:
    """Return the paths of the images directly in a folder, sorted by name."""
    return [path for path in sorted(Path(folder).iterdir()) if path.suffix.lower() in SUFFIXES]

"""Read movie metadata CSVs, which list the movies whose posters step 1 downloads.

Four forms are recognized by their columns. They may have been saved by a spreadsheet.

- Kaggle's movies_metadata.csv (TMDb): `imdb_id`, `id`, `genres` as a list of dicts, `poster_path`
- tmdb_5000_movies.csv: the same without posters
- MovieGenre.csv (IMDb): `imdbId`, `Genre` as `A|B`, `Poster` as a URL
- tables of `Id` and `Genre` whose posters are images named by id
"""

import ast
import csv
import json
import re
import sys
from collections import Counter
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import chain, islice
from zipfile import BadZipFile, ZipFile

from postergenres.download.stray_quotes import Records


class MetadataError(Exception):
    """A metadata CSV is missing or unusable; the text says why.

    Attributes:
        setting: the constant of database.py that names the CSV.
    """

    def __init__(self, text, setting="METADATA_CSV"):
        super().__init__(text)
        self.setting = setting


@contextmanager
def exiting_on_metadata_errors():
    """Turn a MetadataError into one line and exit status 1.

    Raises:
        SystemExit: the block raised a MetadataError.
    """
    try:
        yield
    except MetadataError as error:
        sys.exit(f"{error}. Check {error.setting} in database.py, then run: python database.py")


LISTED = "that METADATA_CSV lists, too"  # why a movie of TRAIN_ONLY_CSV is dropped


class Movies:
    """The movies of a metadata CSV. Each iteration reads the file anew, one row at a time.

    An iteration yields a dict for each movie: id, title, genres (`Action|Drama`), poster (a path,
    a URL or empty) and names (the ids as the CSV writes them). If several rows have the same id,
    the first one counts.

    Args:
        path: the CSV: UTF-8, UTF-16 or a Western encoding; commas, semicolons or tabs.
        limit: the number of movies to stop after; None for all.
        setting: the constant of database.py that names the CSV, for messages.
        listed: ids in small letters that METADATA_CSV lists; these movies are dropped.

    Attributes:
        has_posters: whether a column lists posters.
        rows: the number of rows that the last iteration read.
        dropped: the rows of the last iteration that are no movie: a Counter {reason: rows}.
        repaired: the number of rows of the last iteration that were read without a stray quote.

    Raises:
        MetadataError: the file is missing, or it lacks a column of ids or of genres.
    """

    def __init__(self, path, limit=None, setting="METADATA_CSV", listed=frozenset()):
        self.path, self.limit, self.setting, self.listed = path, limit, setting, listed
        self.rows, self.dropped, self.repaired = 0, Counter(), 0
        header = next(read_rows(path, setting=setting), [])
        self.columns = {}
        for place, name in enumerate(header):
            self.columns.setdefault(name.strip().lower(), place)
        if not {"genres", "genre"} & set(self.columns):
            raise MetadataError(f"{path} needs a column of genres (genres or Genre)", setting)
        if not {"imdb_id", "imdbid", "id"} & set(self.columns):
            raise MetadataError(f"{path} needs a column of ids (imdb_id, imdbId or id)", setting)
        self.has_posters = bool({"poster_path", "poster"} & set(self.columns))
        self.is_tmdb = bool({"poster_path", "production_companies", "adult"} & set(self.columns))

    def __iter__(self):
        self.rows, self.dropped, self.repaired = 0, Counter(), 0
        return islice(self.read_movies(), self.limit)

    def read_movies(self):
        """Yield the movies; count the rows and the dropped rows."""
        seen = set()
        rows = read_rows(self.path, self.count_repair, self.setting)
        width = len(next(rows, []))
        for row in rows:
            self.rows += 1
            movie = self.parse_row(row)
            if any(row[width:]):
                self.dropped["with more cells than there are columns"] += 1
            elif self.is_shifted(row, movie):
                self.dropped["with cells under the wrong columns"] += 1
            elif not movie["id"]:
                self.dropped["without a usable id"] += 1
            elif movie["id"].lower() in seen:  # some file systems ignore case: a.jpg is A.jpg
                self.dropped["with the id of an earlier row"] += 1
            elif movie["id"].lower() in self.listed:
                self.dropped[LISTED] += 1
            else:
                seen.add(movie["id"].lower())
                yield movie

    def count_repair(self):
        self.repaired += 1

    def parse_row(self, row):
        """Return a row of the CSV as a dict: id, title, genres, poster, names."""
        names = self.find_cell(row, "imdb_id", "imdbid"), self.find_cell(row, "id")
        poster = self.find_cell(row, "poster_path", "poster")
        return {
            "id": choose_id(*names, self.is_tmdb),
            "title": self.find_cell(row, "title", "original_title"),
            "genres": join_genres(self.find_cell(row, "genres", "genre")),
            "poster": "" if poster.lower() in ("n/a", "nan", "none", "null") else poster,
            "names": names,
        }

    def find_cell(self, row, *names):
        """Return the first nonempty cell of a row under one of the columns `names`, or ""."""
        for name in names:
            place = self.columns.get(name, len(row))
            if place < len(row) and row[place].strip():
                return " ".join(decode_cell(row[place]).split())
        return ""

    def is_shifted(self, row, movie):
        """Return whether an unquoted newline split the row in two, as in three rows of Kaggle's.

        The second part then has text under `adult`, a date under `id`, companies under `genres`.
        """
        if not self.is_tmdb:
            return False
        adult = self.find_cell(row, "adult")  # False, or FALSE, FALSCH, FAUX
        is_text = " " in adult or len(adult) > 10
        return is_text or (not movie["id"] and movie["names"][1] != "")

    def read_ids(self):
        """Return the ids of the movies, in small letters, as a set."""
        return {movie["id"].lower() for movie in self}

    def summary(self):
        """Return one line: what the last iteration read, what it dropped, and why."""
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped.items())
        first = "" if self.limit is None else "the first "
        movies = self.rows - self.dropped.total()
        repaired = f"; repaired: {self.repaired:,} with a stray quote" if self.repaired else ""
        counts = f"{first}{self.rows:,} rows, {movies:,} movies"
        return f"{self.path}: {counts}; dropped: {reasons or 'none'}{repaired}"


def read_rows(path, on_repair=lambda: None, setting="METADATA_CSV"):
    """Yield the rows of a CSV as lists of strings, the header first.

    Bytes that are not UTF-8 become lone surrogates, which `decode_cell` decodes: a CSV does not
    name its encoding, and one byte of cp1252 must not spoil the other 45,000 rows.

    Args:
        path: the file.
        on_repair: a function that is called for each row that was read without a stray quote.
        setting: the constant of database.py that names the file, for messages.

    Raises:
        MetadataError: the file is missing, or it is not a CSV.
    """
    csv.field_size_limit(1_000_000)  # characters; a longer cell has a quote that never closes
    try:
        with open(path, "rb") as file:
            start = file.read(512)
        if kind := name_kind(path, start):
            raise MetadataError(f"{path} is {kind}", setting)
        is_utf16 = start[:2] in (b"\xff\xfe", b"\xfe\xff")
        encoding = "utf-16" if is_utf16 else "utf-8-sig"
        with open(path, encoding=encoding, errors="surrogateescape", newline="") as file:
            lines = (line.replace("\0", "\ufffd") for line in file)  # Python 3.10 refuses NUL
            header = next((line for line in lines if line.strip()), "")
            delimiter = max(",;\t", key=header.count)
            if header.lower().startswith("sep="):  # Excel's line that names the delimiter
                delimiter, header = header[4:5], ""
            yield from filter(None, Records(chain([header], lines), delimiter, on_repair))
    except FileNotFoundError:
        hint = " (to draw the demonstration set, run: python data/sample/draw.py)"
        is_first = setting == "METADATA_CSV"
        raise MetadataError(f"{path} is missing{hint if is_first else ''}", setting) from None
    except (OSError, csv.Error, ValueError, TypeError) as error:
        raise MetadataError(f"{path} cannot be read as a CSV ({error})", setting) from None


# The first bytes of files that people have in place of a CSV, and what to do with such a file.
ARCHIVE, TABLE = "not a CSV. Extract the CSV from it", "not a CSV. Save it as a CSV"
FILE_KINDS = {
    b"PK\3\4": f"a zip archive, {ARCHIVE}",
    b"\x1f\x8b": f"compressed by gzip, {ARCHIVE}",
    b"BZh": f"compressed by bzip2, {ARCHIVE}",
    b"\xfd7zXZ": f"compressed by xz, {ARCHIVE}",
    b"\x28\xb5\x2f\xfd": f"compressed by zstd, {ARCHIVE}",
    b"7z\xbc\xaf": f"a 7z archive, {ARCHIVE}",
    b"Rar!": f"a rar archive, {ARCHIVE}",
    b"\xd0\xcf\x11\xe0": f"an old Excel workbook, {TABLE}",
    b"PAR1": f"a Parquet file, {TABLE}",
    b"SQLite format 3": f"a SQLite database, {TABLE}",
    b"%PDF": f"a PDF, {TABLE}",
}
JSON_START = re.compile(rb'(?:\xef\xbb\xbf)?\s*(?:\{\s*"|\[\s*[\[{])')
HTML_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html)", re.IGNORECASE)


def name_kind(path, start):
    """Return which other kind of file is given as a CSV and what to do with it, or "".

    Args:
        path: the file.
        start: its first bytes.
    """
    if start.startswith(b"PK\3\4"):
        with suppress(OSError, BadZipFile, ValueError), ZipFile(path) as archive:
            names = archive.namelist()
            if any(name.startswith("xl/") for name in names):
                return f"an Excel workbook, {TABLE}"
            if "content.xml" in names:
                return f"an OpenDocument spreadsheet, {TABLE}"
    if JSON_START.match(start):
        return f"a JSON file, {TABLE}"
    if HTML_START.match(start):
        return "a web page, not a CSV. Download the CSV again"
    return next((kind for magic, kind in FILE_KINDS.items() if start.startswith(magic)), "")


def is_url(text):
    """Return whether a text is an http or https URL."""
    return text.lower().startswith(("http://", "https://"))


def find_host(url):
    """Return the host and port of a URL, as it has them."""
    return url.split("/", 3)[2]


def decode_cell(cell):
    """Return the text of a cell; bytes that are not UTF-8 are decoded as cp1252 or latin-1."""
    try:
        cell.encode()
        return cell
    except UnicodeEncodeError:
        raw = cell.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def choose_id(imdb, other, is_tmdb):
    """Return the id of a movie: `tt` and at least seven digits for an IMDb id, or its other id.

    Args:
        imdb: the cell of the IMDb id, or "".
        other: the cell of the other id, or "".
        is_tmdb: whether the CSV is TMDb's, whose ids are numbers: its shifted rows have a date
            in place of the id.

    Returns:
        The id; "" if neither cell holds a usable one.
    """
    for cell in (imdb, other if other[:2].lower() == "tt" else ""):
        match = re.fullmatch(r"(?:tt)?0*([1-9]\d*)(?:\.0)?", cell, re.ASCII | re.IGNORECASE)
        if match:
            return f"tt{match[1]:0>7}"
    if not is_tmdb:
        return other
    match = re.fullmatch(r"(\d+)(?:\.0)?", other, re.ASCII)
    return match[1] if match else ""


@lru_cache(maxsize=4096)  # 45,000 movies share about 4,000 lists of genres
def join_genres(cell):
    """Return the genres of a cell as `Action|Drama`."""
    return "|".join(parse_genres(cell))


def parse_genres(cell):
    """Return the distinct genre names of a cell.

    Args:
        cell: `A|B`, `A, B`, `A; B`, or a list of names or of {'name': ...} in Python or JSON. A
            list is parsed, never evaluated; an invalid list has no genres.

    Returns:
        A list of names, in the order of the cell.
    """
    if cell.startswith(("[", "(", "{")):
        entries = parse_list(cell)
        names = [entry.get("name") if isinstance(entry, dict) else entry for entry in entries]
    else:
        names = cell.split(next((sign for sign in "|;" if sign in cell), ","))
    # JSON and Python can express lone surrogates, which no file can hold.
    names = [name.encode("utf-8", "replace").decode() for name in names if isinstance(name, str)]
    names = [" ".join(name.replace("|", " ").split()) for name in names]
    return list(dict.fromkeys(name for name in names if name and name.upper() != "N/A"))


def parse_list(cell):
    """Return the list that a cell holds in JSON or Python, or an empty list if it is neither."""
    for parse in (json.loads, ast.literal_eval):
        try:
            entries = parse(cell)
            return [entries] if isinstance(entries, dict) else list(entries)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return []

"""Read the movie metadata CSVs that people have; database.py downloads what they list.

Recognised by their columns: Kaggle's movies_metadata.csv (TMDb: `imdb_id`, `id`, `genres` as a list
of dicts, `poster_path`), tmdb_5000_movies.csv (the same without posters), MovieGenre.csv (IMDb:
`imdbId`, `Genre` as `A|B`, `Poster` as a URL), and tables of `Id` and `Genre` whose posters are
images named by id. They may have been saved by a spreadsheet since.
"""

import ast
import csv
import json
import re
from collections import Counter
from functools import lru_cache
from itertools import chain, islice


class MetadataError(Exception):
    """Why a CSV is of no use, in a few words."""


class Movies:
    """The movies of a metadata CSV. Each iteration reads the file anew, one row at a time.

    Yields a dict for each movie: id, title, genres (`Action|Drama`), poster (a path, a URL or
    empty) and names (the ids as the CSV writes them). Of several rows with one id the first stays.

    Args:
        path: the CSV: UTF-8, UTF-16 or a Western encoding; commas, semicolons or tabs.
        limit: movies to stop after; None for all.

    Attributes:
        has_posters: whether there is a column that lists posters.
        rows: the rows that the last iteration read.
        dropped: of these, those that are no movie: a Counter {reason: rows}.

    Raises a MetadataError where the file is missing or lacks a column of ids or of genres.
    """

    def __init__(self, path, limit=None):
        self.path, self.limit = path, limit
        self.rows, self.dropped = 0, Counter()
        header = next(read_rows(path), [])
        self.columns = {}
        for place, name in enumerate(header):
            self.columns.setdefault(name.strip().lower(), place)
        if not {"genres", "genre"} & set(self.columns):
            raise MetadataError(f"{path} needs a column of genres (genres or Genre)")
        if not {"imdb_id", "imdbid", "id"} & set(self.columns):
            raise MetadataError(f"{path} needs a column of ids (imdb_id, imdbId or id)")
        self.has_posters = bool({"poster_path", "poster"} & set(self.columns))
        self.is_tmdb = bool({"poster_path", "production_companies", "adult"} & set(self.columns))

    def __iter__(self):
        self.rows, self.dropped = 0, Counter()
        return islice(self.movies(), self.limit)

    def movies(self):
        seen = set()
        rows = read_rows(self.path)
        width = len(next(rows, []))
        for row in rows:
            self.rows += 1
            movie = self.movie(row)
            if any(row[width:]):
                self.dropped["with more cells than there are columns"] += 1
            elif self.is_shifted(row, movie):
                self.dropped["with cells under the wrong columns"] += 1
            elif not movie["id"]:
                self.dropped["without a usable id"] += 1
            elif movie["id"].lower() in seen:  # some file systems do not tell a.jpg from A.jpg
                self.dropped["with the id of an earlier row"] += 1
            else:
                seen.add(movie["id"].lower())
                yield movie

    def movie(self, row):
        names = self.cell(row, "imdb_id", "imdbid"), self.cell(row, "id")
        poster = self.cell(row, "poster_path", "poster")
        return {
            "id": movie_id(*names, self.is_tmdb),
            "title": self.cell(row, "title", "original_title"),
            "genres": join_genres(self.cell(row, "genres", "genre")),
            "poster": "" if poster.lower() in ("n/a", "nan", "none", "null") else poster,
            "names": names,
        }

    def cell(self, row, *names):
        """The first cell with text in it that the row has under these columns, or an empty one."""
        for name in names:
            place = self.columns.get(name, len(row))
            if place < len(row) and row[place].strip():
                return " ".join(decode(row[place]).split())
        return ""

    def is_shifted(self, row, movie):
        """Whether a newline without quotes tore the row apart, as it did three of Kaggle's.

        Then text stands under `adult`, a date under `id`, and companies under `genres`.
        """
        if not self.is_tmdb:
            return False
        adult = self.cell(row, "adult")  # False, or FALSE, FALSCH, FAUX
        is_text = " " in adult or len(adult) > 10
        return is_text or (not movie["id"] and movie["names"][1] != "")

    def summary(self):
        """What the last iteration read and dropped, and why, as one line."""
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped.items())
        first = "" if self.limit is None else "the first "
        movies = self.rows - self.dropped.total()
        return f"{self.path}: {first}{self.rows:,} rows, {movies:,} movies; dropped: " + (
            reasons or "none"
        )


def read_rows(path):
    """Yield the rows of a CSV as lists of strings, the header first.

    Bytes that are not UTF-8 are kept as lone surrogates, for `decode`: a spreadsheet that saves
    cp1252 says so nowhere, and one wrong byte should not spoil the other 45,000 rows.
    """
    csv.field_size_limit(1_000_000)  # characters; a longer cell is a quote that does not end
    try:
        with open(path, "rb") as file:
            is_utf16 = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
        encoding = "utf-16" if is_utf16 else "utf-8-sig"
        with open(path, encoding=encoding, errors="surrogateescape", newline="") as file:
            lines = (line.replace("\0", "\ufffd") for line in file)  # Python 3.10 refuses NUL
            header = next((line for line in lines if line.strip()), "")
            delimiter = max(",;\t", key=header.count)
            if header.lower().startswith("sep="):  # Excel's, for itself
                delimiter, header = header[4:5], ""
            yield from filter(None, csv.reader(chain([header], lines), delimiter=delimiter))
    except FileNotFoundError:
        raise MetadataError(
            f"{path} is missing (the demonstration set is drawn by: python data/sample/draw.py)"
        ) from None
    except (OSError, csv.Error, ValueError, TypeError) as error:
        raise MetadataError(f"{path} cannot be read as a CSV ({error})") from None


def is_url(text):
    return text.lower().startswith(("http://", "https://"))


def decode(cell):
    """The text of a cell; bytes that are not UTF-8 are read as cp1252, or else as latin-1."""
    try:
        cell.encode()
        return cell
    except UnicodeEncodeError:
        raw = cell.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def movie_id(imdb, other, is_tmdb):
    """`tt` and at least seven digits where the row has an IMDb id, else its other id.

    Empty where neither is usable. A TMDb id is a number: in the shifted rows of Kaggle's
    movies_metadata.csv a date stands in its place.
    """
    for cell in (imdb, other if other[:2].lower() == "tt" else ""):
        match = re.fullmatch(r"(?:tt)?0*([1-9]\d*)(?:\.0)?", cell, re.ASCII | re.IGNORECASE)
        if match:
            return f"tt{match[1]:0>7}"
    if not is_tmdb:
        return other
    match = re.fullmatch(r"(\d+)(?:\.0)?", other, re.ASCII)
    return match[1] if match else ""


@lru_cache(maxsize=4096)  # 45,000 movies share some 4,000 lists of genres
def join_genres(cell):
    return "|".join(parse_genres(cell))


def parse_genres(cell):
    """The genre names in one cell, each once.

    A cell is `A|B`, `A, B`, `A; B`, or a list of names or of {'name': ...} in Python or JSON. A
    list is read as JSON or with `ast.literal_eval`, never evaluated; one that is neither has none.
    """
    if cell.startswith(("[", "(", "{")):
        entries = parse_list(cell)
        names = [entry.get("name") if isinstance(entry, dict) else entry for entry in entries]
    else:
        names = cell.split(next((sign for sign in "|;" if sign in cell), ","))
    # JSON and Python can spell half a character, which no file can hold.
    names = [name.encode("utf-8", "replace").decode() for name in names if isinstance(name, str)]
    names = [" ".join(name.replace("|", " ").split()) for name in names]
    return list(dict.fromkeys(name for name in names if name and name.upper() != "N/A"))


def parse_list(cell):
    for parse in (json.loads, ast.literal_eval):
        try:
            entries = parse(cell)
            return [entries] if isinstance(entries, dict) else list(entries)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return []

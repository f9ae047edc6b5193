"""Read movie metadata, which lists the movies whose posters step 1 downloads.

Four forms of CSV are recognized by their columns. They may have been saved by a spreadsheet.

- Kaggle's movies_metadata.csv (TMDb): `imdb_id`, `id`, `genres` as a list of dicts, `poster_path`
- tmdb_5000_movies.csv: the same without posters
- MovieGenre.csv (IMDb): `imdbId`, `Genre` as `A|B`, `Poster` as a URL
- tables of `Id` and `Genre` whose posters are images named by id

A folder is read like MM-IMDb's `dataset`: a JSON file for each movie, named by its IMDb id.
"""

import ast
import csv
import gzip
import io
import json
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn, TextIO, cast
from zipfile import BadZipFile, ZipFile

LONGEST_CELL = 1_000_000  # characters; a longer one has a quote that never closes
LISTED = "that METADATA_CSV lists, too"  # why a movie of TRAIN_ONLY_CSV is dropped
UNREADABLE = (OSError, EOFError, zlib.error, BadZipFile, RuntimeError, ValueError)


class Movie(NamedTuple):
    """A movie of a metadata CSV.

    genres: `Action|Drama`.
    poster: a path, a URL or empty.
    names: the ids as the CSV writes them.
    """

    id: str
    title: str
    genres: str
    poster: str
    names: tuple[str, str]


class Movies:
    """The movies of a metadata CSV, read row by row, so that a million of them fit in memory.

    Call `survey` once, then iterate as often as you like. If several rows have the same id, the
    first one counts.

    Args:
        path: the CSV or folder.
        limit: the number of movies to stop after; None for all.
        setting: the constant of database.py that names the CSV, for messages.

    Attributes:
        has_posters: whether a column lists posters.
        rows: the number of rows that the survey read.
        dropped: {number of a row, from 0: why it is no movie}, from the survey.

    Raises:
        SystemExit: the file is missing or unusable; the line says why.
    """

    def __init__(self, path: Path, limit: int | None = None, setting: str = "METADATA_CSV") -> None:
        self.path, self.limit, self.setting = path, limit, setting
        self.rows, self.dropped = 0, dict[int, str]()
        header = next(read_rows(path, setting), [])
        self.columns: dict[str, int] = {}
        for place, name in enumerate(header):
            self.columns.setdefault(name.strip().lower(), place)
        self.width = len(header)
        if not {"genres", "genre"} & set(self.columns):
            stop(f"{path} needs a column of genres (genres or Genre)", setting)
        if not {"imdb_id", "imdbid", "id"} & set(self.columns):
            stop(f"{path} needs a column of ids (imdb_id, imdbId or id)", setting)
        self.has_posters = bool({"poster_path", "poster"} & set(self.columns))
        self.is_tmdb = bool({"poster_path", "production_companies", "adult"} & set(self.columns))

    def survey(self, listed: frozenset[str] = frozenset()) -> Iterator[Movie]:
        """Yield the movies, and note which rows are none.

        Args:
            listed: ids in small letters that METADATA_CSV lists; these movies are dropped.
        """
        seen = set[str]()
        for number, row in enumerate(islice(read_rows(self.path, self.setting), 1, None)):
            if len(seen) == self.limit:
                return
            self.rows += 1
            movie = self.parse_row(row)
            key = movie.id.lower()  # some file systems ignore case: a.jpg is A.jpg
            if any(row[self.width :]):
                self.dropped[number] = "with more cells than there are columns"
            elif self.is_shifted(row, movie):
                self.dropped[number] = "with cells under the wrong columns"
            elif not key:
                self.dropped[number] = "without a usable id"
            elif key in seen:
                self.dropped[number] = "with the id of an earlier row"
            elif key in listed:
                self.dropped[number] = LISTED
            else:
                seen.add(key)
                yield movie

    def __iter__(self) -> Iterator[Movie]:
        rows = islice(read_rows(self.path, self.setting), 1, self.rows + 1)
        return (self.parse_row(row) for i, row in enumerate(rows) if i not in self.dropped)

    def parse_row(self, row: list[str]) -> Movie:
        names = self.find_cell(row, "imdb_id", "imdbid"), self.find_cell(row, "id")
        poster = self.find_cell(row, "poster_path", "poster")
        return Movie(
            id=choose_id(*names, is_tmdb=self.is_tmdb),
            title=self.find_cell(row, "title", "original_title"),
            genres=join_genres(self.find_cell(row, "genres", "genre")),
            poster="" if poster.lower() in ("n/a", "nan", "none", "null") else poster,
            names=names,
        )

    def find_cell(self, row: list[str], *names: str) -> str:
        """Return the first nonempty cell of a row under one of the columns `names`, or ""."""
        for name in names:
            place = self.columns.get(name, len(row))
            if place < len(row) and row[place].strip():
                return " ".join(decode_cell(row[place]).split())
        return ""

    def is_shifted(self, row: list[str], movie: Movie) -> bool:
        """Return whether an unquoted line break split the row in two, as in three of Kaggle's.

        The second part then has text under `adult`, a date under `id`, companies under `genres`.
        """
        if not self.is_tmdb:
            return False
        adult = self.find_cell(row, "adult")  # False, or FALSE, FALSCH, FAUX
        is_text = " " in adult or len(adult) > 10
        return is_text or (not movie.id and movie.names[1] != "")

    def summarize(self) -> str:
        """Return one line: what the survey read, what it dropped, and why."""
        counts = Counter(self.dropped.values()).items()
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts)
        first = "" if self.limit is None else "the first "
        movies = self.rows - len(self.dropped)
        rows = f"{first}{self.rows:,} rows, {movies:,} movies"
        return f"{self.path}: {rows}; dropped: {reasons or 'none'}"


# --- rows -----------------------------------------------------------------------------------------


def read_rows(path: Path, setting: str) -> Iterator[list[str]]:
    """Yield the rows of a CSV, the header first.

    Args:
        path: the file: UTF-8, UTF-16, cp1252 or latin-1; commas, semicolons, tabs or bars; perhaps
            compressed by gzip or zip; or a folder, see `read_json_files`.
        setting: the constant of database.py that names the file, for messages.

    Raises:
        SystemExit: the file is missing, is no CSV, or has a stray quote.
    """
    if path.is_dir():
        yield from read_json_files(path, setting)
        return
    csv.field_size_limit(LONGEST_CELL)
    if path.exists() and not path.is_file():
        stop(f"{path} is not a file", setting)
    try:
        with open_text(path) as file:
            lines = (line.replace("\0", "\ufffd") for line in file)
            header = next(lines, "")
            delimiter = max(",;\t|", key=header.count)
            if header.lower().startswith("sep="):  # Excel's line that names the delimiter
                delimiter, header = header[4:5], ""
            reader = csv.reader(chain([header], lines), delimiter=delimiter, strict=True)
            width = first = 0
            try:
                for row in reader:
                    is_stray = reader.line_num > first + 1 and hides_rows(row, width, delimiter)
                    if width and is_stray:
                        raise csv.Error
                    first, width = reader.line_num, width or len(row)
                    if row:
                        yield row
            except csv.Error:
                stop(describe_stray_quote(path, first), setting)
    except FileNotFoundError:
        hint = " (to draw the demonstration set, run: python data/sample/draw.py)"
        stop(f"{path} is missing{hint if setting == 'METADATA_CSV' else ''}", setting)
    except UNREADABLE as error:
        stop(f"{path} cannot be read as a CSV ({error})", setting)


def read_json_files(folder: Path, setting: str) -> Iterator[list[str]]:
    """Yield the rows of a folder with a JSON file for each movie, as in MM-IMDb; the header first.

    Posters are found by the id. Each "cover url" in the files is that of a thumbnail.

    Raises:
        SystemExit: there is no JSON file, or one is damaged.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        stop(f"{folder} is a folder without JSON files of movies", setting)
    yield ["imdb_id", "title", "genres"]
    for path in paths:
        try:
            movie = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            stop(f"{path} cannot be read as JSON ({error})", setting)
        about = movie if isinstance(movie, dict) else {}
        title = str(about.get("title") or "").replace("\0", "\ufffd")
        title = title.encode("utf-8", "replace").decode()  # JSON can express lone surrogates
        yield [path.stem, title, json.dumps(about.get("genres") or [])]


def hides_rows(row: list[str], width: int, delimiter: str) -> bool:
    """Return whether the cells of a row of several lines are rows that a stray quote swallowed.

    Then the row has another number of cells than the header, or each of its lines would have this
    number without the quotes.
    """
    lines = delimiter.join(row).splitlines()
    return len(row) != width or all(line.count(delimiter) == width - 1 for line in lines)


def describe_stray_quote(path: Path, skipped: int) -> str:
    """Return what is wrong with the first row after some lines of a file, and its beginning."""
    with open_text(path) as file:
        line = next(islice(file, skipped, None), "")
    text = decode_cell(" ".join(line.split())[:100])
    return (
        f"{path} has a stray quote in line {skipped + 1}, which hides the rows after it: {text} - "
        "Remove the quote"
    )


def open_text(path: Path) -> TextIO:
    """Open a CSV, also one that is compressed by gzip or alone in a zip archive, as text.

    Bytes that are not UTF-8 become lone surrogates, which `decode_cell` decodes: a CSV does not
    name its encoding, and one byte of cp1252 must not spoil the other 45,000 rows.
    """
    with open(path, "rb") as file:
        start = file.read(4)
    if start == b"PK\3\4":
        archive = ZipFile(path)
        names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
        if len(names) != 1:
            raise ValueError(f"it is an archive of {len(names)} CSV files: extract or save one")
        file = io.BufferedReader(cast(io.RawIOBase, archive.open(names[0])))
    else:
        unpack = gzip.open if start.startswith(b"\x1f\x8b") else open
        file = unpack(path, "rb")
    is_utf16 = file.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff")
    encoding = "utf-16" if is_utf16 else "utf-8-sig"
    return io.TextIOWrapper(cast(BinaryIO, file), encoding, "surrogateescape", newline="")


def decode_cell(cell: str) -> str:
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


def stop(problem: str, setting: str) -> NoReturn:
    """Exit with a line that names the setting to check."""
    sys.exit(f"{problem}. Check {setting} in database.py, then run: python database.py")


# --- cells ----------------------------------------------------------------------------------------


def is_url(text: str) -> bool:
    """Return whether a text is an http or https URL."""
    return text.lower().startswith(("http://", "https://"))


def choose_id(imdb: str, other: str, is_tmdb: bool) -> str:
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
def join_genres(cell: str) -> str:
    """Return the genres of a cell as `Action|Drama`."""
    return "|".join(parse_genres(cell))


def parse_genres(cell: str) -> list[str]:
    """Return the distinct genre names of a cell, in its order.

    Args:
        cell: `A|B`, `A, B`, `A; B`, or a list of names or of {'name': ...} in Python or JSON. A
            list is parsed, never evaluated; an invalid list has no genres.
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


def parse_list(cell: str) -> list[object]:
    """Return the list that a cell holds in JSON or Python, or an empty list if it is neither."""
    for parse in (json.loads, ast.literal_eval):
        try:
            entries = parse(cell)
            return [entries] if isinstance(entries, dict) else list(entries)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return []

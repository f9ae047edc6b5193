"""Read the movie metadata CSVs that people have; database.py downloads what they list.

Recognised by their columns: Kaggle's movies_metadata.csv (TMDb: `imdb_id`, `id`, `genres` as a list of dicts,
`poster_path`), MovieGenre.csv (IMDb: `imdbId`, `Genre` as `A|B`, `Poster` as a URL) and tables of `Id` and `Genre`.
"""

import ast
import json
import re
import sys

import pandas as pd


def read_metadata(path):
    """Read a metadata CSV into a DataFrame of strings: id, title, genres (`Action|Drama`), poster (path, URL or empty).

    Of several rows with one id the first stays; rows without a usable id are dropped; both are counted on stdout. Exits
    with one line where the file is missing, empty, or lacks a column of ids or of genres.
    """
    table = read_table(path)
    columns = {name.strip().lower(): name for name in table.columns}

    def column(*names):
        """The first of these columns that the table has, or empty cells."""
        found = [columns[name] for name in names if name in columns]
        return table[found[0]].str.strip() if found else pd.Series("", index=table.index)

    if not {"genres", "genre"} & set(columns) or not {"imdb_id", "imdbid", "id"} & set(columns):
        sys.exit(
            f"{path} needs a column of ids (imdb_id, imdbId or id) and one of genres (genres or Genre); its columns are "
            f"none of these. Check METADATA_CSV in database.py, then run: python database.py"
        )
    is_tmdb = "poster_path" in columns
    movies = pd.DataFrame(
        {
            "id": [
                movie_id(*ids, is_tmdb)
                for ids in zip(column("imdb_id", "imdbid"), column("id"), strict=True)
            ],
            "title": column("title", "original_title"),
            "genres": ["|".join(parse_genres(cell)) for cell in column("genres", "genre")],
            "poster": column("poster_path", "poster"),
        }
    )
    nameless = movies["id"] == ""
    repeated = movies["id"].duplicated() & ~nameless
    print(
        f"{path}: {len(movies):,} rows, {nameless.sum():,} without a usable id, {repeated.sum():,} repeated ids"
    )
    movies = movies[~nameless & ~repeated].reset_index(drop=True)
    if movies.empty:
        sys.exit(
            f"{path} lists no movies. Check METADATA_CSV in database.py, then run: python database.py"
        )
    return movies


def read_table(path):
    """The columns that matter, as strings. UTF-8 is tried first, then the Western encodings such files come in."""
    wanted = {
        "imdb_id",
        "imdbid",
        "id",
        "genres",
        "genre",
        "poster_path",
        "poster",
        "title",
        "original_title",
    }
    again = "Check METADATA_CSV in database.py, then run: python database.py"
    for encoding in ("utf-8-sig", "cp1252", "latin-1"):
        try:
            return pd.read_csv(
                path,
                dtype=str,
                keep_default_na=False,
                encoding=encoding,
                usecols=lambda name: name.strip().lower() in wanted,
            )
        except UnicodeDecodeError:
            continue  # latin-1 decodes any byte, so the loop always returns or exits
        except FileNotFoundError:
            sys.exit(
                f"{path} is missing. {again} (python data/sample/draw.py draws the demonstration set)"
            )
        except pd.errors.EmptyDataError:
            sys.exit(f"{path} is empty or has none of the columns needed. {again}")
        except (OSError, pd.errors.ParserError) as error:
            sys.exit(f"{path} cannot be read as a CSV: {error}. {again}")


def movie_id(imdb, other, is_tmdb):
    """`tt` and at least seven digits where the row has an IMDb id, else its other id; empty where neither is usable.

    A TMDb id is a number: in the shifted rows of Kaggle's movies_metadata.csv a date stands in its place.
    """
    for cell in (imdb, other if other.startswith("tt") else ""):
        match = re.fullmatch(r"(?:tt)?0*([1-9]\d*)(?:\.0)?", cell, re.ASCII)
        if match:
            return f"tt{match[1]:0>7}"
    return "" if is_tmdb and not re.fullmatch(r"\d+", other, re.ASCII) else other


def parse_genres(cell):
    """The genre names in one cell, each once: `A|B`, `A, B`, or a list of names or of {'name': ...} in Python or JSON.

    A list is read with `ast.literal_eval` or as JSON, never evaluated; one that is neither gives no genres.
    """
    if cell.startswith("["):
        names = [
            entry.get("name") if isinstance(entry, dict) else entry for entry in parse_list(cell)
        ]
    else:
        names = cell.split("|" if "|" in cell else ",")
    names = [" ".join(name.replace("|", " ").split()) for name in names if isinstance(name, str)]
    return list(dict.fromkeys(name for name in names if name and name.upper() != "N/A"))


def parse_list(cell):
    for parse in (ast.literal_eval, json.loads):
        try:
            return list(parse(cell))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return []

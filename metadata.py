"""Read the movie metadata CSVs that people have; database.py downloads what they list.

Recognised by their columns: Kaggle's movies_metadata.csv (TMDb: `imdb_id`, `id`, `genres` as a list
of dicts, `poster_path`), MovieGenre.csv (IMDb: `imdbId`, `Genre` as `A|B`, `Poster` as a URL), and
tables of `Id` and `Genre` whose posters are images named by id.
"""

import ast
import json
import re
import sys

import pandas as pd


def read_metadata(path):
    """Read a metadata CSV into a DataFrame: id, title, genres (`Action|Drama`), poster, names.

    `poster` is a path, a URL or empty; `names` are the ids as the CSV writes them. Of several rows
    with one id the first stays; rows without a usable id are dropped; both are counted on stdout.
    Exits with one line where the file is missing, empty, or lacks a column of ids or of genres.
    """
    table = read_table(path)
    columns = {name.strip().lower(): name for name in table.columns}

    def column(*names):
        """The first of these columns that the table has, or empty cells."""
        found = [columns[name] for name in names if name in columns]
        return table[found[0]].str.strip() if found else pd.Series("", index=table.index)

    if not {"genres", "genre"} & set(columns) or not {"imdb_id", "imdbid", "id"} & set(columns):
        sys.exit(
            f"{path} needs a column of ids (imdb_id, imdbId or id) and one of genres (genres or "
            "Genre). Set METADATA_CSV in database.py to such a file, then run: python database.py"
        )
    is_tmdb = "poster_path" in columns
    ids = list(zip(column("imdb_id", "imdbid"), column("id"), strict=True))
    movies = pd.DataFrame(
        {
            "id": [movie_id(imdb, other, is_tmdb) for imdb, other in ids],
            "title": column("title", "original_title"),
            "genres": ["|".join(parse_genres(cell)) for cell in column("genres", "genre")],
            "poster": column("poster_path", "poster"),
            "names": ids,
        }
    )
    nameless = movies["id"] == ""
    repeated = movies["id"].duplicated() & ~nameless
    print(
        f"{path}: {len(movies):,} rows, of which dropped: {nameless.sum():,} without a usable id, "
        f"{repeated.sum():,} with the id of an earlier row"
    )
    movies = movies[~nameless & ~repeated].reset_index(drop=True)
    if movies.empty:
        sys.exit(f"{path} lists no movies. Check METADATA_CSV, then run: python database.py")
    return movies


def read_table(path):
    """The columns that matter, as strings; UTF-8 first, then the Western encodings."""
    wanted = "imdb_id imdbid id genres genre poster_path poster title original_title".split()
    again = "Check METADATA_CSV in database.py, then run: python database.py"
    for encoding in ("utf-8-sig", "cp1252", "latin-1"):
        try:
            return pd.read_csv(
                path,
                dtype=str,
                keep_default_na=False,
                encoding=encoding,
                usecols=lambda name: name.strip().lower() in wanted,
            ).fillna("")  # the cells that a short row lacks
        except UnicodeDecodeError:
            continue  # latin-1 decodes any byte, so the loop always returns or exits
        except FileNotFoundError:
            sys.exit(
                f"{path} is missing. {again} "
                "(or draw the demonstration set: python data/sample/draw.py)"
            )
        except pd.errors.EmptyDataError:
            sys.exit(f"{path} is empty. {again}")
        except (OSError, pd.errors.ParserError) as error:
            sys.exit(f"{path} cannot be read as a CSV ({str(error).strip()}). {again}")


def movie_id(imdb, other, is_tmdb):
    """`tt` and at least seven digits where the row has an IMDb id, else its other id.

    Empty where neither is usable. A TMDb id is a number: in the shifted rows of Kaggle's
    movies_metadata.csv a date stands in its place.
    """
    for cell in (imdb, other if other.startswith("tt") else ""):
        match = re.fullmatch(r"(?:tt)?0*([1-9]\d*)(?:\.0)?", cell, re.ASCII)
        if match:
            return f"tt{match[1]:0>7}"
    return "" if is_tmdb and not re.fullmatch(r"\d+", other, re.ASCII) else other


def parse_genres(cell):
    """The genre names in one cell, each once.

    A cell is `A|B`, `A, B`, or a list of names or of {'name': ...} in Python or JSON. A list is
    read with `ast.literal_eval` or as JSON, never evaluated; one that is neither has no genres.
    """
    if cell.startswith("["):
        entries = parse_list(cell)
        names = [entry.get("name") if isinstance(entry, dict) else entry for entry in entries]
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

"""Step 1: download the posters that a movie metadata CSV lists.

    python database.py

Reads   METADATA_CSV (metadata.py says which forms it may have); it is never written
Writes  DATA_DIR/posters/<id>.jpg, the bytes as served, and DATA_DIR/posters.csv: one row per
        movie, failures included. A second run asks only for what is missing.
Takes   seconds for the demonstration set, three minutes for 15,000 posters from a fast host.
"""

import json
import os
import re
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from download import fetch_image, is_url, open_session
from metadata import read_metadata

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # every step reads and writes here; change it in all to keep two runs apart
METADATA_CSV = "data/sample/movies_metadata.csv"  # the list of movies; point it at your own CSV
POSTER_BASE = "data/sample/posters"  # folder or URL prefix; None where the CSV has whole URLs
LIMIT = None  # movies, from the top of the CSV; 500 gives a first look at a large one
WORKERS = 16  # downloads at a time; lower it where the host asks for less
TIMEOUT = 10  # seconds without an answer or a further byte before an attempt has failed
RETRIES = 4  # further attempts per poster, 0.5, 1, 2, 4 ... seconds apart; more on a bad network
# --------------------------------------------------------------------------------------------------


def main(
    data_dir=DATA_DIR,
    metadata_csv=METADATA_CSV,
    poster_base=POSTER_BASE,
    limit=LIMIT,
    workers=WORKERS,
    timeout=TIMEOUT,
    retries=RETRIES,
):
    """Download the posters and write posters.csv; exit with 1 where over 2 % of them failed."""
    check_settings(limit, workers, timeout, retries)
    data_dir = Path(data_dir)
    posters = locate_posters(read_metadata(metadata_csv).head(limit), poster_base)
    (data_dir / "posters").mkdir(parents=True, exist_ok=True)
    for leftover in (data_dir / "posters").glob("*.part.jpg"):
        leftover.unlink()

    known = read_known(data_dir)
    todo = [poster for poster in posters if not settle(poster, known, data_dir)]
    print(f"{len(posters):,} movies, {len(todo):,} posters to fetch")
    fetch_all(todo, data_dir, workers, timeout, retries)

    columns = ["id", "title", "genres", "url", "status", "error"]
    write_csv(pd.DataFrame(posters, columns=columns), data_dir / "posters.csv")
    journal_path(data_dir).unlink(missing_ok=True)
    report(posters, data_dir)


def check_settings(limit, workers, timeout, retries):
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be None or at least 1 movie, got {limit!r}")
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers!r}")
    if timeout <= 0:
        raise ValueError(f"timeout must be more than 0 seconds, got {timeout!r}")
    if retries < 0:
        raise ValueError(f"retries must be 0 or more, got {retries!r}")


# --- where the posters are ------------------------------------------------------------------------


def locate_posters(movies, poster_base):
    """Say where each movie's poster is to be had.

    In a folder a poster is the file that the CSV names, or the one named by the id. Elsewhere a
    URL in the CSV is used as it is, and a path is joined to the URL prefix. A folder that holds
    none of the movies gives way to the URLs in the CSV.

    Returns:
        A list of dicts with the columns of posters.csv. `status` is `gone` where there is nothing
        to ask for, and empty where `url`, a URL or a path, is yet to be fetched.
    """
    base, records = str(poster_base or ""), movies.to_dict("records")
    has_urls = any(map(is_url, movies["poster"]))
    folder = images_by_name(base) if base and Path(base).is_dir() else None
    if folder is None and not is_url(base) and not has_urls:
        sys.exit(
            f"POSTER_BASE ({base or None}) is neither a URL nor a folder, and the CSV lists no "
            "poster URLs. Set it in database.py, then run: python database.py"
        )
    is_used = is_url(base) or any(find_image(folder or {}, movie) for movie in records)
    if base and has_urls and not is_used:
        print(f"{base} holds none of these movies: using the URLs in the CSV")
        folder = None

    posters = []
    for movie in records:
        listed = movie["poster"]
        url, error = "", "no poster listed"
        if not re.fullmatch(r"[\w-]{1,100}", movie["id"], re.ASCII):
            error = "the id cannot name a file"
        elif folder is not None:
            url, error = find_image(folder, movie), f"no image in {base}"
        elif is_url(listed):
            url = listed
        elif listed and is_url(base):
            url = f"{base.rstrip('/')}/{listed.lstrip('/')}"
        found = {"status": "", "error": ""} if url else {"status": "gone", "error": error}
        kept = {key: movie[key] for key in ("id", "title", "genres")}
        posters.append(kept | {"url": url} | found)
    return posters


def find_image(folder, movie):
    """The path of a movie's image among `images_by_name`, or an empty string."""
    names = (movie["poster"].lstrip("/"), movie["id"], *movie["names"])
    return next((folder[name] for name in names if name in folder), "")


def images_by_name(folder):
    """The images directly in a folder under their names, with and without suffix: {name: path}."""
    paths = {path.name: path.as_posix() for path in list_images(folder)}
    return {Path(name).stem: path for name, path in paths.items()} | paths


def list_images(folder):
    """The paths of the images directly in a folder, sorted by name."""
    suffixes = {".jpg", ".jpeg", ".png", ".webp", ".gif"}
    return [path for path in sorted(Path(folder).iterdir()) if path.suffix.lower() in suffixes]


# --- what earlier runs have -----------------------------------------------------------------------


def read_posters(data_dir):
    """Read posters.csv: id, title, genres, url, status (ok, gone, failed) and error, as strings."""
    path = Path(data_dir) / "posters.csv"
    if not path.is_file():
        sys.exit(f"{path} is missing. Run: python database.py")
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def poster_path(data_dir, movie):
    """The file that holds the poster of the movie with this id."""
    return Path(data_dir) / "posters" / f"{movie}.jpg"


def journal_path(data_dir):
    """What a run has settled so far, one JSON object per line; it is deleted when the run ends."""
    return Path(data_dir) / "posters.journal.jsonl"


def read_known(data_dir):
    """What earlier runs settled, finished or killed: {id: {id, url, status, error}}.

    Nothing, where no poster was ok: then the host or the source was wrong, not the posters.
    """
    known = {}
    if (Path(data_dir) / "posters.csv").is_file():
        known = {poster["id"]: poster for poster in read_posters(data_dir).to_dict("records")}
    if journal_path(data_dir).is_file():
        for line in journal_path(data_dir).read_text(encoding="utf-8").splitlines():
            try:
                poster = json.loads(line)
            except ValueError:
                continue  # the line that was being written when the run was killed
            known[poster["id"]] = poster
    return known if any(poster["status"] == "ok" for poster in known.values()) else {}


def settle(poster, known, data_dir):
    """Fill in the status of a poster that needs no asking, and say whether that is so."""
    before = known.get(poster["id"])
    if not poster["status"] and before and before["url"] == poster["url"]:
        copy = poster_path(data_dir, poster["id"])
        if is_url(poster["url"]):
            is_settled = before["status"] == "gone" or (before["status"] == "ok" and copy.is_file())
        else:  # a file may have been replaced since
            is_settled = before["status"] == "ok" and is_up_to_date(copy, Path(poster["url"]))
        if is_settled:
            poster |= {"status": before["status"], "error": before["error"]}
    return poster["status"] != ""


def is_up_to_date(copy, original):
    if not copy.is_file() or not original.is_file():
        return False
    ours, theirs = copy.stat(), original.stat()
    return ours.st_size == theirs.st_size and ours.st_mtime_ns >= theirs.st_mtime_ns


# --- fetching -------------------------------------------------------------------------------------


def fetch_all(posters, data_dir, workers, timeout, retries, hopeless=20):
    """Fetch posters in threads and fill in their status and error.

    Where the first `hopeless` posters get no connection, the host is out of reach: the others count
    as failed without being asked for, rather than to wait for thousands of time-outs.
    """
    unconnected, counts, local, stop = 0, Counter(), threading.local(), threading.Event()
    pool = ThreadPoolExecutor(workers)
    with (
        open(journal_path(data_dir), "a", encoding="utf-8") as journal,
        tqdm(total=len(posters), desc="posters", unit="poster") as progress,
    ):
        journal.write("\n")  # a killed run may have left half a line
        futures = {
            pool.submit(fetch, poster, data_dir, local, stop, timeout, retries): poster
            for poster in posters
        }
        try:
            for future in as_completed(futures):
                poster = futures[future]
                poster["status"], poster["error"] = future.result()
                settled = {key: poster[key] for key in ("id", "url", "status", "error")}
                journal.write(json.dumps(settled) + "\n")
                journal.flush()
                counts[poster["status"]] += 1
                unconnected += poster["error"].startswith("Connect")  # ConnectTimeout, -ionError
                progress.set_postfix(counts, refresh=False)
                progress.update()
                if unconnected == hopeless == counts.total():
                    stop.set()
        except BaseException as error:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            if not isinstance(error, KeyboardInterrupt):
                raise
            print("Stopped. To go on from here, run: python database.py", file=sys.stderr)
            sys.exit(130)
    pool.shutdown()


def fetch(poster, data_dir, local, stop, timeout, retries):
    """Fetch one poster into its file. Returns its (status, error)."""
    if not hasattr(local, "session"):
        local.session = open_session()
    status, error, body = fetch_image(local.session, poster["url"], timeout, retries, stop)
    if status == "ok":
        with replacing(poster_path(data_dir, poster["id"])) as part:
            part.write_bytes(body)
    return status, error


# --- files that are whole or absent ---------------------------------------------------------------


@contextmanager
def replacing(path):
    """Yield a path beside `path`; rename it to `path` once the block has ended without an error."""
    part = Path(path).with_suffix(f".part{Path(path).suffix}")
    yield part
    os.replace(part, path)


def write_csv(table, path):
    """Write a DataFrame as CSV, whole or not at all."""
    with replacing(path) as part:
        table.to_csv(part, index=False, lineterminator="\n", encoding="utf-8")


def report(posters, data_dir):
    """Print the counts; exit with status 1 where too many failed to go on."""
    counts = Counter(poster["status"] for poster in posters)
    print(f"ok {counts['ok']:,}   gone {counts['gone']:,}   failed {counts['failed']:,}")
    reasons = Counter(poster["error"].split(": ")[0] for poster in posters if poster["error"])
    for reason, count in reasons.most_common(5):
        print(f"  {count:,} x {reason}")
    print(f"wrote {data_dir / 'posters.csv'} ({len(posters):,} rows) and {data_dir / 'posters'}")
    if counts["failed"] > 0.02 * len(posters):
        sys.exit(
            f"{counts['failed']:,} of {len(posters):,} posters failed. Check the network and "
            "POSTER_BASE; to ask for these again, run: python database.py"
        )
    if not counts["ok"]:
        sys.exit("No poster was found. Check POSTER_BASE, then run: python database.py")
    print("next: python sampling.py")


if __name__ == "__main__":
    main()

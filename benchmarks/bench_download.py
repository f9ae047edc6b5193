"""Compare step 1 with other ways to download the same posters.

    python -m pip install -e . -r requirements/bench.txt
    python benchmarks/bench_download.py

The contestants take turns, and each ratio is of one turn:

- serial: a loop over urllib.request.urlretrieve, as in the study, on the first SERIAL_POSTERS.
- img2dataset: the same number of threads and the same work, since it decodes each image and keeps
  the bytes. Its time is the one it reports for its only shard, without its start.
- host's limit: http.client in the same number of threads, which neither check nor keep anything.
- the bound: workers / latency.

Last, step 1 reads a CSV of MILLION rows with a limit of 1,000 and a folder as its source (Linux
only). Takes about two minutes.
"""

import asyncio
import csv
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlretrieve

from postergenres.download.metadata import Movies

import numpy as np
from measuring import format_range
from posters import draw_posters

import database

# --- settings -------------------------------------------------------------------------------------
METADATA_CSV = None  # a CSV of URLs on your own host with LATENCY; None: drawn posters, served here
POSTERS = 2000  # downloads per contestant and turn
LATENCY = 0.05  # seconds before each response
WORKERS = 64  # threads or concurrent downloads
REPEATS = 3  # turns
SERIAL_POSTERS = 400  # downloads of the serial loop, which is slow
MILLION = 1_000_000  # rows of the CSV that is read with a limit
# --------------------------------------------------------------------------------------------------


def main(
    metadata_csv=METADATA_CSV,
    posters=POSTERS,
    latency=LATENCY,
    workers=WORKERS,
    repeats=REPEATS,
    serial_posters=SERIAL_POSTERS,
    million=MILLION,
):
    """Print posters per second, the ratios to step 1, and the time for a CSV of a million rows."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        draw_posters(folder / "images", 200)
        host = None
        if metadata_csv is None:
            host, url = start_host(folder / "images", latency)
            metadata_csv = folder / "movies.csv"
            write_movies(metadata_csv, [f"{url}/{i}.jpg" for i in range(posters)])
        try:
            urls = [movie.poster for movie in Movies(Path(metadata_csv), posters).survey()]
            rates = []
            for i in range(repeats):
                work = folder / str(i)
                work.mkdir()
                seconds = {
                    "serial": time_serial(urls[:serial_posters], work),
                    "img2dataset": time_img2dataset(urls, workers, work),
                    "database.py": time_database(metadata_csv, posters, workers, work),
                    "host's limit": time_host(urls, workers),
                }
                counts = dict.fromkeys(seconds, len(urls)) | {"serial": serial_posters}
                rates.append({name: counts[name] / spent for name, spent in seconds.items()})
                print("  ".join(f"{name} {rate:,.0f}/s" for name, rate in rates[-1].items()))
        finally:
            if host:
                host.terminate()
        print_ratios(rates, workers / latency)
        time_million(folder, million)


def print_ratios(rates, bound):
    """Print the ratios of step 1 to each contestant: median and range over the turns.

    Args:
        rates: list with a dict for each turn: {contestant: posters per second}.
        bound: posters per second that the latency allows.
    """
    ours = np.array([row["database.py"] for row in rates])
    others = {name: [row[name] for row in rates] for name in rates[0] if name != "database.py"}
    others[f"the bound of {bound:,.0f}/s"] = bound
    for name, values in others.items():
        print(f"database.py / {name}: {format_range(ours / values, 2)}")


# --- contestants: each returns seconds ------------------------------------------------------------


def time_serial(urls, folder):
    start = time.perf_counter()
    for i, url in enumerate(urls):
        urlretrieve(url, folder / f"serial{i}.jpg")
    return time.perf_counter() - start


def time_img2dataset(urls, workers, folder):
    from img2dataset import download

    (folder / "urls.txt").write_text("\n".join(urls), encoding="utf-8")
    download(
        url_list=str(folder / "urls.txt"),
        output_folder=str(folder / "img2dataset"),
        output_format="files",
        processes_count=1,
        thread_count=workers,
        resize_mode="no",
        skip_reencode=True,  # decodes, but keeps the bytes as served
        number_sample_per_shard=len(urls),
    )
    stats = json.loads((folder / "img2dataset" / "00000_stats.json").read_text(encoding="utf-8"))
    assert stats["successes"] == len(urls), stats
    return stats["end_time"] - stats["start_time"]


def time_database(metadata_csv, posters, workers, folder):
    start = time.perf_counter()
    database.main(folder / "data", metadata_csv, None, limit=posters, workers=workers)
    return time.perf_counter() - start


def time_host(urls, workers):
    local = threading.local()

    def get(url):
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection(urlsplit(url).netloc)
        local.connection.request("GET", urlsplit(url).path)
        return len(local.connection.getresponse().read())

    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        assert all(pool.map(get, urls))
    return time.perf_counter() - start


# --- movies and a host that serves their posters --------------------------------------------------


def write_movies(path, urls):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["imdbId", "Title", "Genre", "Poster"])
        writer.writerows([i, f"Movie {i}", "Drama", url] for i, url in enumerate(urls, start=1))


def start_host(folder, latency):
    """Serve a folder of images from another process; returns the process and the URL."""
    command = [sys.executable, __file__, "serve", str(folder), str(latency)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


async def serve(folder, latency):
    """Serve `/<number>.jpg`, one of the images of the folder, after the latency in seconds."""
    images = [path.read_bytes() for path in sorted(Path(folder).iterdir())]

    async def send_images(reader, writer):
        while request := await reader.readline():
            while (await reader.readline()).strip():
                pass  # the headers
            await asyncio.sleep(latency)
            number = int(request.split()[1].strip(b"/").removesuffix(b".jpg"))
            image = images[number % len(images)]
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(image)}\r\n\r\n"
            writer.write(head.encode() + image)
        writer.close()

    server = await asyncio.start_server(send_images, "127.0.0.1", 0, backlog=256)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


# --- a CSV of a million rows ----------------------------------------------------------------------


def time_million(folder, rows, limit=1000):
    """Print the seconds to the first poster and the peak memory, which only Linux reports."""
    overview = "A long overview, with commas and quotes. " * 8
    with open(folder / "million.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["adult", "genres", "id", "imdb_id", "overview", "poster_path", "title"])
        genres = "[{'id': 18, 'name': 'Drama'}, {'id': 35, 'name': 'Comedy'}]"
        for i in range(rows):
            poster = f"/{i % 200}.jpg"
            writer.writerow(["False", genres, i, f"tt{i:07d}", overview, poster, f"Movie {i}"])
    megabytes = (folder / "million.csv").stat().st_size / 1e6
    code = (
        "import database\n"
        f"database.main('data', 'million.csv', 'images', limit={limit})\n"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    while not any((folder / "data").glob("posters/*[0-9].jpg")):
        if process.poll() is not None:
            sys.exit("step 1 ended without a poster: see its message above")
        time.sleep(0.01)
    first = time.perf_counter() - start
    output, _ = process.communicate()
    print(
        f"{rows:,} rows ({megabytes:,.0f} MB), limit {limit:,}, from a folder: first poster after "
        f"{first:.1f} s including the start of Python, all after "
        f"{time.perf_counter() - start:.1f} s, peak memory "
        f"{int(output.split()[-1]) / 1024:,.0f} MB"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(serve(sys.argv[2], float(sys.argv[3])))
    else:
        main()

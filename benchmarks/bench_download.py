"""Step 1 beside what people would use instead, on the same posters, in turns, in one run.

    pip install -r benchmarks/requirements.txt
    python benchmarks/bench_download.py

Serial is a loop over urllib.request.urlretrieve, as in the study, on the first SERIAL_POSTERS.
img2dataset has as many threads and the same work: it decodes each image and keeps its bytes; its
time is its own, of the one shard, without its start. The host's limit is what http.client gets in
as many threads that neither check nor keep anything; the bound is workers / latency. Last, step 1
reads a CSV of MILLION rows with a limit of 1,000 and a folder as its source.
"""

import csv
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlretrieve

import numpy as np
from measuring import ROOT, describe
from PIL import Image

sys.path.insert(0, str(ROOT))

import database  # noqa: E402
from postergenres.download.metadata import Movies  # noqa: E402

# --- settings -------------------------------------------------------------------------------------
METADATA_CSV = None  # a CSV of URLs on a host of yours that has LATENCY; None draws and serves some
POSTERS = 2000
LATENCY = 0.05  # seconds before each answer
WORKERS = 64  # threads, or downloads at a time
REPEATS = 3
SERIAL_POSTERS = 400  # of the serial loop, which takes its time
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
    """Print the rates, their ratios with the median and the range, and the million rows."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        draw_posters(folder / "images", 200)
        host = None
        if metadata_csv is None:
            host, url = start_host(folder / "images", latency)
            metadata_csv = folder / "movies.csv"
            write_movies(metadata_csv, [f"{url}/{i}.jpg" for i in range(posters)])
        try:
            urls = [movie["poster"] for movie in Movies(metadata_csv, posters)]
            rates = []
            for i in range(repeats):
                work = folder / str(i)
                work.mkdir()
                rates.append(
                    {
                        "serial": serial_posters / time_serial(urls[:serial_posters], work),
                        "img2dataset": len(urls) / time_img2dataset(urls, workers, work),
                        "database.py": len(urls)
                        / time_database(metadata_csv, posters, workers, work),
                        "host's limit": len(urls) / time_host(urls, workers),
                    }
                )
                print("  ".join(f"{name} {rate:,.0f}/s" for name, rate in rates[-1].items()))
        finally:
            if host:
                host.terminate()
        compare(rates, workers / latency)
        time_million(folder, million)


def compare(rates, bound):
    """Print ratios of rates: their median, and their range over the repeats."""
    ours = np.array([row["database.py"] for row in rates])
    others = {name: [row[name] for row in rates] for name in rates[0] if name != "database.py"}
    others[f"the bound of {bound:,.0f}/s"] = bound
    for name, values in others.items():
        print(f"database.py / {name}: {describe(ours / values, 2)}")


# --- the contestants: each returns seconds --------------------------------------------------------


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


# --- posters and their host -----------------------------------------------------------------------


def draw_posters(folder, count):
    """Smooth noise of the size of a poster; about 15 kB each."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for i in range(count):
        coarse = rng.integers(0, 256, (24, 16, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((182, 268), Image.Resampling.BICUBIC)
        grain = rng.integers(-12, 13, (268, 182, 3))
        image = Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8))
        image.save(folder / f"{i}.jpg", quality=85)


def write_movies(path, urls):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["imdbId", "Title", "Genre", "Poster"])
        writer.writerows([i, f"Movie {i}", "Drama", url] for i, url in enumerate(urls, start=1))


def start_host(folder, latency):
    """Serve a folder of images in another process. Returns the process and the URL."""
    command = [sys.executable, __file__, "serve", str(folder), str(latency)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


async def serve(folder, latency):
    """Answer `/<number>.jpg` with one of the images, after the latency."""
    import asyncio

    from aiohttp import web

    images = [path.read_bytes() for path in sorted(Path(folder).iterdir())]

    async def answer(request):
        await asyncio.sleep(latency)
        number = int(request.match_info["number"])
        return web.Response(body=images[number % len(images)], content_type="image/jpeg")

    application = web.Application()
    application.router.add_get(r"/{number:\d+}.jpg", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.Event().wait()


# --- a CSV of a million rows ----------------------------------------------------------------------


def time_million(folder, rows, limit=1000):
    """Print the time to the first poster and the peak memory (on Linux, which has VmHWM)."""
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
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    while not any((folder / "data").glob("posters/*[0-9].jpg")):
        assert process.poll() is None, "step 1 ended without a poster"
        time.sleep(0.01)
    first = time.perf_counter() - start
    output, _ = process.communicate()
    print(
        f"{rows:,} rows ({megabytes:,.0f} MB), limit {limit:,}, from a folder: first poster after "
        f"{first:.1f} s with the start of Python, all after {time.perf_counter() - start:.1f} s, "
        f"peak memory {int(output.split()[-1]) / 1024:,.0f} MB"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        import asyncio

        asyncio.run(serve(sys.argv[2], float(sys.argv[3])))
    else:
        main()

"""What the tests share: posters made on the fly, a hostile poster host, and one small pipeline."""

import importlib.util
import io
import socket
import struct
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent


def load_draw():
    """data/sample/draw.py as a module; its folder is no package."""
    spec = importlib.util.spec_from_file_location("draw", ROOT / "data" / "sample" / "draw.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def image_bytes(colour=(200, 30, 30), size=(20, 30), mode="RGB", form="JPEG"):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).convert(mode).save(buffer, form)
    return buffer.getvalue()


class Host(BaseHTTPRequestHandler):
    """A poster host; the first part of the path says how it behaves.

    `/ok/x.jpg` answers, `/404/x.jpg` does with that status, `/short/x.jpg` and the like fail each
    time, and `/short-once/x.jpg` only the first time.
    """

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        behaviour = self.path.split("/")[1]
        self.server.asked[self.path] += 1
        if behaviour.endswith("-once"):
            is_first = self.server.asked[self.path] == 1
            behaviour = behaviour.removesuffix("-once") if is_first else "ok"
        body, status, length = image_bytes(), 200, None
        if behaviour.isdecimal():
            body, status = b"", int(behaviour)
        elif behaviour == "page":
            body = b"<html>Sign in</html>"
        elif behaviour == "truncated":
            body = body[: len(body) // 2]
        elif behaviour == "short":
            body, length = body[: len(body) // 2], len(body)
        elif behaviour == "slow":
            time.sleep(2)
        elif behaviour == "reset":
            option = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
            self.close_connection = True
            self.connection.close()
            return
        self.send_response(status)
        self.send_header("Content-Length", str(length or len(body)))
        if status == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = length is not None


@pytest.fixture
def host():
    """A running host: `url` to put before paths, and `asked`, how often each path was asked for."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Host)
    server.daemon_threads = True
    server.asked = Counter()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}", asked=server.asked)
    server.shutdown()
    server.server_close()


COLOURS = {"Action": (220, 40, 40), "Comedy": (240, 220, 60), "Drama": (50, 60, 160)}


def draw_colours(folder, movies=180):
    """A metadata CSV and a folder of noisy posters whose colours tell their one or two genres."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    lines = ["Id,Genre"]
    for number in range(movies):
        genres = rng.choice(
            list(COLOURS), size=rng.integers(1, 3), replace=False, p=[0.2, 0.3, 0.5]
        )
        bands = np.array([COLOURS[genre] for genre in genres]).repeat(60 // len(genres), axis=0)
        pixels = bands[:, None] + rng.integers(-30, 31, size=(60, 40, 3))
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        image.save(folder / "images" / f"m{number:03d}.jpg")
        lines.append(f'm{number:03d},"{list(map(str, genres))}"')
    (folder / "movies.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory):
    """All five steps, run once through main() on the coloured posters; the data folder."""
    import database
    import predict
    import preprocessing
    import sampling
    import train

    source, data = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("data")
    draw_colours(source)
    database.main(data, source / "movies.csv", source / "images")
    sampling.main(data, sample_fraction=0.6)
    preprocessing.main(data, image_height=48, image_width=32, workers=1)
    about = train.main(data, epochs=8, batch_size=16)
    scores = predict.main(data_dir=data)
    return SimpleNamespace(data=data, images=source / "images", about=about, scores=scores)

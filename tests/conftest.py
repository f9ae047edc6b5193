"""What the tests share: posters made on the fly, a hostile poster host, and one small pipeline."""

import gzip
import hashlib
import importlib.util
import io
import signal
import socket
import struct
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent

# A runner in the background ignores Ctrl-C, and the scripts that tests start would inherit that.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)


def load_draw():
    return load_script(ROOT / "data" / "sample" / "draw.py")


def load_script(path):
    """A script as a module where its folder is no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def image_bytes(colour=(200, 30, 30), size=(20, 30), mode="RGB", form="JPEG", **options):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


def progressive(size, more_scans):
    """A square JPEG of ten scans and as many more, each of which costs as much as a whole image."""
    content = image_bytes((0, 0, 0), (size, size), progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * more_scans + content[-2:]


def draw_poster(seed):
    """Draw a poster with shapes of all sizes, like those on real posters."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((278, 185, 3))
    for size in (3, 8, 24):
        coarse = rng.integers(0, 256, (size * 3 // 2, size, 3), dtype=np.uint8)
        pixels += np.asarray(Image.fromarray(coarse).resize((185, 278), Image.Resampling.BICUBIC))
    return Image.fromarray((pixels / 3).astype(np.uint8))


def encode_poster(image, quality=90, form="JPEG"):
    """Return the bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, form, quality=quality)
    return buffer.getvalue()


def draw_predictions(movies=400, genres=7, seed=0):
    """Draw labels, probabilities that are better than chance and have ties, and thresholds."""
    from postergenres.scores.metrics import choose_thresholds

    rng = np.random.default_rng(seed)
    shares = np.linspace(0.03, 0.5, genres)
    labels = (rng.random((movies, genres)) < shares).astype(np.uint8)
    labels[labels.sum(axis=1) == 0, -1] = 1
    noisy = np.clip(shares + 0.15 * labels + rng.normal(0, 0.1, labels.shape), 0.01, 0.99)
    probabilities = noisy.round(2)
    return labels, probabilities, choose_thresholds(labels, probabilities, 1)


def read_curves(folder):
    """Return {(run, curve): {epoch: value}} of TensorBoard's files in a folder."""
    import tensorflow as tf
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    curves = {}
    for path in sorted(folder.glob("*/events.*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                epochs = curves.setdefault((path.parent.name, value.tag), {})
                assert event.step not in epochs
                epochs[event.step] = float(tf.make_ndarray(value.tensor))
    return curves


class Host(BaseHTTPRequestHandler):
    """A poster host; the first part of the path says how it behaves.

    `/ok/x.jpg` answers, `/404/x.jpg` does with that status, `/short/x.jpg` and the like fail each
    time, and `/short-once/x.jpg` only the first time. What the server has in `bodies` under a name,
    `/name/x.jpg` answers with.
    """

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.server.connections.add(self.client_address)
        behaviour = self.path.split("/")[1]
        self.server.asked[self.path] += 1
        if behaviour == "portal":  # as many images as are left, then a page for everything
            self.server.images["left"] -= 1
            behaviour = "own" if self.server.images["left"] >= 0 else "page"
        if behaviour.endswith("-once"):
            is_first = self.server.asked[self.path] == 1
            behaviour = behaviour.removesuffix("-once") if is_first else "own"
        if behaviour in self.server.bodies:
            self.answer(self.server.bodies[behaviour])
        elif behaviour.isdecimal():
            self.answer(b"", int(behaviour))
        elif behaviour.startswith("wait="):  # 429, with this in Retry-After
            self.answer(b"", 429, {"Retry-After": unquote(behaviour.removeprefix("wait="))})
        elif behaviour.startswith("to="):  # a redirect
            self.answer(b"", 302, {"Location": unquote(behaviour.removeprefix("to="))})
        elif behaviour == "no-such-page":
            self.answer(b"<html>" + bytes(3000), 404)
        else:
            getattr(self, behaviour)(image_bytes())

    def answer(self, body, status=200, headers=None):
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):  # the client has had enough
            self.wfile.write(body)

    def ok(self, body):
        self.answer(body)

    def own(self, body):
        """An image of its own for each path."""
        color = tuple(hashlib.sha256(self.path.encode()).digest()[:3])
        self.answer(image_bytes(color) + self.path.encode())

    def nowhere(self, body):
        self.answer(b"", 302)

    def page(self, body):
        self.answer(b"<html>Sign in</html>")

    def truncated(self, body):
        self.answer(body[: len(body) // 2])

    def short(self, body):
        self.answer(body[: len(body) // 2], headers={"Content-Length": str(len(body))})
        self.close_connection = True

    def unsized(self, body):
        self.answer(body, headers={"Content-Length": None, "Connection": "close"})

    def chunked(self, body):
        chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        self.send_chunks(chunks)

    def chunked_short(self, body):
        self.send_chunks(b"%x\r\n%b" % (len(body), body[: len(body) // 2]))

    def send_chunks(self, chunks):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(chunks)
        self.close_connection = True

    def endless(self, body):
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):
            while True:
                self.wfile.write(body * 100)

    def gzipped(self, body):
        self.answer(gzip.compress(body), headers={"Content-Encoding": "gzip"})

    def slow(self, body):
        time.sleep(2)
        self.answer(body)

    def drip(self, body):
        """A byte every 0.1 s: each comes in time, the whole does not."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.send_slowly(body[:100])

    def send_slowly(self, content):
        with suppress(OSError):
            for byte in content:
                self.wfile.write(bytes([byte]))
                time.sleep(0.1)
        self.close_connection = True

    def reset(self, body):
        option = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
        self.hang_up(body)

    def hang_up(self, body):
        self.close_connection = True
        self.connection.close()

    def not_http(self, body):
        self.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        self.close_connection = True

    def long_header(self, body):
        self.answer(body, headers={"X-Long": "x" * 100_000})


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address):
        super().__init__(address, Host)
        self.asked, self.bodies, self.connections = Counter(), {}, set()
        self.images = {"left": 0}

    def handle_error(self, request, client_address):
        pass  # clients that hang up are part of the tests


@pytest.fixture
def host():
    """A running host: `url` to put before paths; `asked`, how often each was; `bodies`, to answer
    with; `connections`, by the addresses of their clients; `images`, how many /portal/ has left."""
    server = Server(("127.0.0.1", 0))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    yield SimpleNamespace(
        url=url,
        asked=server.asked,
        bodies=server.bodies,
        connections=server.connections,
        images=server.images,
    )
    server.shutdown()
    server.server_close()


# Lines of a script after which trainings on different devices can be compared. The sample is even,
# so that no device leaves a poster out. Layers and losses are in float64: in float32, on one device
# and with initial weights that differ by half a unit in the last place, the validation loss of the
# second epoch of "improved" differed by up to 0.0024.
COMPARABLE = """
import keras, model, train
from keras.src.backend.common import dtypes
from postergenres.training import precision
draw_sample = train.draw_sample
train.draw_sample = lambda store: draw_sample(store, store.rows("train")[:76])
keras.config.set_floatx("float64")
dtypes.BIT64_TO_BIT32_DTYPE.clear()  # with JAX, Keras would normalize batches in float32
precision.POLICIES["float32"] = "float64"
model.genre_probabilities = lambda x, genres: keras.layers.Dense(
    genres, activation="sigmoid", name="genres"
)(x)
"""


def contents(folder):
    """The files in a folder and below: {path: bytes}."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


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
    about = train.main(data, epochs=8, batch_size=16, precision="float32")  # "auto" is a race
    scores = predict.main(data_dir=data)
    return SimpleNamespace(data=data, images=source / "images", about=about, scores=scores)


def build_color_network(variant, height, width):
    """Stand in for the teacher's network: features are the mean colors of both poster halves."""
    from postergenres.models.efficientnet import FEATURES

    import keras

    pictures = keras.Input((height, width, 3))
    halves = keras.layers.AveragePooling2D((height // 2, width))(pictures)
    colors = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(halves))
    wide = keras.layers.ZeroPadding1D((0, FEATURES - 6))(keras.layers.Reshape((6, 1))(colors))
    return keras.Model(pictures, keras.layers.Flatten(name="features")(wide))


# Stands in for RapidOCR: the colors of the two halves of a poster are words; black has none.
FAKE_RAPIDOCR = """
from types import SimpleNamespace

COLORS = {"explosion": (220, 40, 40), "giggle": (240, 220, 60), "tears": (50, 60, 160), "": [0] * 3}


class RapidOCR:
    def __init__(self, params):
        pass

    def __call__(self, pixels, use_det):
        if pixels.mean() > 250:
            raise IndexError("an odd shape")
        halves = pixels[: len(pixels) // 2], pixels[len(pixels) // 2 :]
        means = [half.mean(axis=(0, 1))[::-1] for half in halves]
        texts = [min(COLORS, key=lambda x: abs(mean - COLORS[x]).sum()) for mean in means]
        texts = [text for text in texts if text]
        return SimpleNamespace(txts=texts or None, scores=[0.9004] * len(texts) or None)
"""


@contextmanager
def faking_reader(folder):
    """Install `FAKE_RAPIDOCR` in a folder, for this process and those that it starts."""
    from postergenres.words.reading import PACKAGES, open_reader

    with pytest.MonkeyPatch.context() as patch:
        for name, content in zip(PACKAGES, (FAKE_RAPIDOCR, ""), strict=True):
            (folder / f"{name}.py").write_text(content, encoding="utf-8")
            (folder / f"{name}-0.dist-info").mkdir()
            metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 0\n"
            (folder / f"{name}-0.dist-info" / "METADATA").write_text(metadata, encoding="utf-8")
            patch.delitem(sys.modules, name, raising=False)
        patch.syspath_prepend(folder)
        open_reader.cache_clear()
        yield
        open_reader.cache_clear()
        for name in PACKAGES:
            sys.modules.pop(name, None)


@pytest.fixture
def fake_reader(tmp_path_factory):
    with faking_reader(tmp_path_factory.mktemp("packages")):
        yield


# --- samples and their store ----------------------------------------------------------------------

SAMPLES = [
    ("a", "Drama", "train", 3, (250, 10, 10)),
    ("b", "Comedy|Drama", "train", 1, (10, 250, 10)),
    ("c", "Comedy", "val", 1, None),
    ("d", "War", "test", 1, (10, 10, 250)),
    ("NA", "War", "val", 1, (90, 90, 90)),
]


@pytest.fixture
def five_posters(tmp_path):
    """Return a data folder with the posters of SAMPLES and their store; the one of c is broken."""
    from postergenres.download.manifest import poster_path
    from postergenres.files import write_csv

    import preprocessing

    (tmp_path / "posters").mkdir()
    for movie, _, _, _, color in SAMPLES:
        poster_path(tmp_path, movie).write_bytes(image_bytes(color) if color else b"no image")
    columns = ["id", "genres", "split", "copies"]
    rows = pd.DataFrame([row[:4] for row in SAMPLES], columns=columns).assign(title="x")
    write_csv(rows, tmp_path / "samples.csv")
    preprocessing.main(tmp_path, image_height=15, image_width=10, workers=2)
    return tmp_path


@pytest.fixture
def hundred(tmp_path):
    """Return a data folder with 100 posters and their store; poster 40 is broken."""
    from postergenres.download.manifest import poster_path
    from postergenres.files import write_csv

    import preprocessing

    data = tmp_path / "hundred"
    (data / "posters").mkdir(parents=True)
    for i in range(100):
        poster_path(data, i).write_bytes(image_bytes((2 * i, 255 - 2 * i, 50)))
    poster_path(data, 40).write_bytes(b"no image")
    splits = ["train"] * 60 + ["val"] * 20 + ["test"] * 20
    rows = pd.DataFrame({"id": range(100), "title": "x", "genres": "Drama", "split": splits})
    write_csv(rows.assign(copies=1), data / "samples.csv")
    preprocessing.main(data, 15, 10, workers=1)
    return data

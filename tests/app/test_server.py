"""Which requests the server of the page answers, without a browser."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

from postergenres.app.answers import Answers

import pandas as pd
import pytest
from conftest import ROOT, image_bytes

server = pytest.importorskip(
    "postergenres.app.server", reason="pip install -r requirements/app.txt"
)
MODEL = "improved (pretrained)"
QUERY = {"model": MODEL, "name": "a.jpg"}
OWN = "http://127.0.0.1:7860"


def connect(app):
    from starlette.testclient import TestClient

    return TestClient(app, base_url=OWN)  # it raises what would be a traceback of the server


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    answers = Answers(tmp_path_factory.mktemp("data"), "improved", top=5)
    with connect(server.build_app(answers)) as client:
        yield client


def post(client, body=b"", headers=None, **query):
    return client.post("/answer", params=QUERY | query, content=body, headers=headers)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:7860", 200),
        ("localhost:7860", 200),
        ("evil.example", 400),
        ("evil.example:7860", 400),
        ("127.0.0.1.evil.example", 400),
        ("", 400),
    ],
)
def test_only_names_of_this_machine_are_answered(client, host, status):
    """A website whose name is rebound to 127.0.0.1 cannot read the page, nor ask whether it may."""
    headers = {"host": host, "origin": f"http://{host}"}
    answers = [
        client.get("/", headers=headers),
        client.options("/", headers=headers | {"access-control-request-method": "POST"}),
        post(client, image_bytes(), headers),
    ]
    assert answers[0].status_code == answers[2].status_code == status
    allows = [answer.headers.get("access-control-allow-origin") for answer in answers]
    assert status == 200 or allows == [None] * 3


def test_a_space_is_answered_under_its_name_too(client):
    app = server.build_app(client.app.state.answers, ["user-posters.hf.space"])
    own = {"host": "user-posters.hf.space", "origin": "https://user-posters.hf.space"}
    with connect(app) as space:
        assert post(space, image_bytes(), own).status_code == 200
        assert post(space, image_bytes(), own | {"host": "evil.example"}).status_code == 400
        foreign = own | {"origin": "https://evil-posters.hf.space"}
        assert post(space, image_bytes(), foreign).status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:8000"])
def test_other_websites_cannot_ask(client, origin):
    assert post(client, image_bytes(), {"origin": origin}).status_code == 403
    assert client.get("/", headers={"origin": origin}).status_code == 403
    preflight = {"origin": origin, "access-control-request-method": "POST"}
    assert client.options("/answer", headers=preflight).status_code == 403
    assert post(client, image_bytes(), {"origin": OWN}).json()["is_read"]


CLOSED = [
    ("POST", "/gradio_api/upload"),
    ("POST", "/gradio_api/run/predict"),
    ("POST", "/gradio_api/queue/join"),
    ("POST", "/gradio_api/process_recording"),
    ("POST", "/gradio_api/vibe-edit"),
    ("POST", "/login"),
    ("POST", "/"),
    ("GET", "/gradio_api/file=/etc/hostname"),
    ("GET", "/gradio_api/proxy=http://evil.example/"),
    ("GET", "/config"),
    ("GET", "/monitoring"),
    ("GET", "/openapi.json"),
]


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_what_the_page_does_not_need_of_gradio_is_closed(client, method, path):
    files = {"files": ("a.jpg", b"x")} if method == "POST" else None
    assert client.request(method, path, files=files).status_code in (404, 405)


def test_a_poster_is_answered_by_a_card(client):
    answer = post(client, image_bytes(), name="<b>&é.jpg").json()
    assert (
        answer["is_read"] and "floor" in answer["card"] and "&lt;b&gt;&amp;é.jpg" in answer["card"]
    )
    answer = post(client, b"text").json()
    assert not answer["is_read"] and "not an image" in answer["card"]


def test_the_page_offers_the_eight_examples_with_their_genres(client):
    page = client.get("/").text
    for movie in pd.read_csv(ROOT / "data" / "examples" / "posters.csv").itertuples():
        assert f"{movie.title} ({movie.year})" in page
        assert f'data-genres=\\"{movie.genres.replace("|", ", ")}\\"' in page


def test_a_malformed_request_is_refused_without_a_traceback(client):
    large = bytes(20_000_001)
    assert post(client, large).status_code == 413
    assert post(client, iter([large[:-1], b"xx"])).status_code == 413  # without Content-Length
    assert post(client, model="other").status_code == 400
    assert client.post("/answer").status_code == 400
    assert client.post("/answer?model=%ff%00&name=a").status_code == 400
    assert client.get("/answer").status_code == 404
    assert client.get("/assets/..%2f..%2fetc/hostname").status_code in (403, 404)


def test_at_most_three_posters_are_in_memory():
    """However many are sent."""
    running, most, lock = 0, 0, threading.Lock()

    def answer(name, body, model):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05)
        with lock:
            running -= 1
        return {}

    app = server.build_app(SimpleNamespace(folders={MODEL: None}, answer=answer))
    with connect(app) as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(client, b"x").status_code, range(24)))
    assert answers == [200] * 24 and most == 3

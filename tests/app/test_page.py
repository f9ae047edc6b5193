"""The page in a server, and in a browser that may reach no other host."""

import json
import re
import shutil
import socket
import sys
import threading
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from postergenres.app.answers import Answers

import pytest
from conftest import ROOT, draw_poster, encode_poster, image_bytes

INSTALL = "pip install -r requirements/app.txt"
module = pytest.importorskip("postergenres.app.page", reason=INSTALL)
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
CONNECTED = set()  # addresses that this process connected to, or looked up
OWN = {"127.0.0.1", "::1", "localhost", None}


def note_connections(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        CONNECTED.add(arguments[1][0])
    elif event == "socket.getaddrinfo":
        CONNECTED.add(arguments[0])


def find_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of the page; the temporary folder, in which uploads would be."""
    temporary = tmp_path_factory.mktemp("temporary")
    answers = Answers(tmp_path_factory.mktemp("data"), "improved", top=5, examples=3)
    sys.addaudithook(note_connections)
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setattr("tempfile.tempdir", str(temporary))
        for name in ("no_proxy", "NO_PROXY", "GRADIO_TEMP_DIR"):
            patch.setenv(name, "")
        CONNECTED.clear()
        with pytest.MonkeyPatch.context() as proxies:
            for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
                proxies.setenv(name, "http://proxy.example:9")
            address = stack.enter_context(module.serving(answers, find_port()))
        yield address, temporary
    assert list(temporary.iterdir()) == []


def list_files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def post(url, name, body):
    """Upload a file as Gradio's own client does; return the status."""
    head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    content = head.encode() + body + b"\r\n--x--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    request = urllib.request.Request(url, content, kind)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def test_the_page_is_served_to_this_machine_only(site):
    address, _ = site
    port = int(address.rpartition(":")[2])
    own = socket.gethostbyname(socket.gethostname())
    for host in {own, "127.0.0.2"} - {"127.0.0.1"}:
        with pytest.raises(OSError):
            socket.create_connection((host, port), timeout=2).close()
        CONNECTED.discard(host)


def test_the_start_of_the_page_reaches_no_other_host(site):
    assert not CONNECTED - OWN


def test_a_port_in_use_is_one_line(site, tmp_path):
    address, _ = site
    port = int(address.rpartition(":")[2])
    answers = Answers(tmp_path, "improved", top=3, examples=3)
    line = f"^Port {port} is in use. Edit PORT in "
    with pytest.raises(SystemExit, match=line), module.serving(answers, port):
        pass


def test_the_theme_names_only_fonts_that_systems_have():
    theme = module.choose_colors()
    assert not theme._stylesheets and "url(" not in "".join(theme._font_css)


def test_gradio_itself_takes_no_large_file(site):
    """The page uploads nothing, but Gradio's address for uploads exists."""
    address, temporary = site
    assert post(f"{address}/gradio_api/upload", "a.jpg", bytes(21_000_000)) == 413
    assert list_files(temporary) == []


# --- in a browser ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def posters(tmp_path_factory):
    folder = tmp_path_factory.mktemp("posters")
    for seed in range(3):
        (folder / f"{seed}.jpg").write_bytes(encode_poster(draw_poster(seed)))
    (folder / "<b>x.png").write_bytes(image_bytes(form="PNG"))
    (folder / "notes.txt").write_text("no poster")
    for name, size in {"large.jpg": 200_000_000, "x.bin": 20_000_000}.items():
        with open(folder / name, "wb") as file:
            file.truncate(size)
    return folder


class Browser:
    """Chromium on the page. It can reach no other host, and its log says which it asks for.

    Needs chromium and chromium-driver (apt) and selenium (pip).
    """

    def __init__(self, address, width=1280, scheme="light"):
        webdriver = pytest.importorskip("selenium.webdriver")
        if not shutil.which("chromedriver"):
            pytest.skip("apt install chromium chromium-driver")
        options = webdriver.ChromeOptions()
        options.add_argument("--headless=new")
        options.add_argument("--no-sandbox")
        options.add_argument("--no-proxy-server")
        options.add_argument("--disable-background-networking")
        options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        self.driver, self.address = webdriver.Chrome(options, service), address
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.get(address)
        self.wait_for("return !!document.querySelector('#drop')")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.driver.quit()

    def wait_for(self, script, *arguments):
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, 30, 0.02).until(
            lambda driver: driver.execute_script(script, *arguments)
        )

    def drop(self, *paths, shown=None):
        """Choose files, wait for the answer with the names `shown`, and return its text."""
        drop = self.driver.find_element("css selector", "#drop")
        drop.send_keys("\n".join(map(str, paths)))
        return self.read_answer(shown or [Path(path).name for path in paths])

    def read_answer(self, names):
        names_shown = "[...document.querySelectorAll('#answer .path')].map((x) => x.textContent)"
        self.wait_for(f"return JSON.stringify({names_shown}) === arguments[0]", to_json(names))
        return self.driver.find_element("css selector", "#answer").text

    def click(self, text):
        self.driver.find_element("xpath", f"//button[contains(., '{text}')]").click()

    def list_hosts(self):
        """Return the hosts of all requests since the last call."""
        messages = [
            json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")
        ]
        urls = [
            message["params"].get("request", message["params"])["url"]
            for message in messages
            if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated")
        ]
        assert urls
        return {url.split("/")[2] for url in urls if not url.startswith(("data:", "blob:"))}

    def find_faults(self):
        """Return what axe-core finds, and what the browser complains about."""
        self.driver.execute_script(AXE.read_text(encoding="utf-8"))
        script = "axe.run().then(arguments[arguments.length - 1])"
        found = self.driver.execute_async_script(script)["violations"]
        complaints = [x for x in self.driver.get_log("browser") if x["level"] == "SEVERE"]
        return [(x["id"], [node["html"][:200] for node in x["nodes"]]) for x in found], complaints


def to_json(names):
    return json.dumps(names, separators=(",", ":"))


@pytest.mark.slow
def test_posters_are_answered_and_nothing_is_kept_or_sent_elsewhere(site, posters):
    address, temporary = site
    with Browser(address) as browser:
        text = browser.drop(posters / "0.jpg", posters / "<b>x.png")
        assert "2 posters, predicted by improved (pretrained)" in text
        assert len(re.findall(r"floor \d+ %", text)) >= 10
        images = browser.driver.find_elements("css selector", "#answer img")
        assert len(images) == 4 and all(image.get_property("naturalWidth") for image in images)
        assert list_files(temporary) == []
        browser.click("Draw 3 examples")
        browser.wait_for("return document.querySelector('#answer').innerText.includes('drawn as')")
        assert list_files(temporary) == []
        assert browser.list_hosts() == {address.removeprefix("http://")}
        assert [x for x in browser.driver.get_log("browser") if x["level"] == "SEVERE"] == []
    assert not CONNECTED - OWN


@pytest.mark.slow
def test_bad_input_is_a_sentence_and_the_page_goes_on(site, posters, host):
    address, temporary = site
    with Browser(address) as browser:
        text = browser.drop(posters / "large.jpg", posters / "notes.txt")
        assert "Could not be read: too large: over 20,000,000 bytes" in text
        assert "Could not be read: not an image" in text
        for url, reason in [
            (f"{host.url}/ok/a.jpg", "it leads to this machine or its local network"),
            ("file:///etc/passwd", "only URLs that begin with http:// or https://"),
        ]:
            field = browser.driver.find_element("css selector", "textarea, input[type=text]")
            field.clear()
            field.send_keys(url)
            browser.click("Fetch and predict")
            assert reason in browser.read_answer([url])
        assert "floor" in browser.drop(posters / "1.jpg")
        browser.drop(*[posters / "x.bin"] * 3, posters / "2.jpg", shown=3 * ["x.bin"])
    assert not host.connections and list_files(temporary) == []


@pytest.mark.slow
def test_two_people_at_once_are_answered(site, posters):
    texts = [[], []]

    def play(person):
        with Browser(site[0]) as browser:
            for seed in [person, 2, 1 - person, 2]:
                texts[person].append(browser.drop(posters / f"{seed}.jpg"))

    people = [threading.Thread(target=play, args=(person,)) for person in (0, 1)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    first, second = ([re.findall(r"(\w+.*)\n.*?(\d+ %)", x) for x in text] for text in texts)
    assert len(first) == len(second) == 4
    assert first[0] == second[2] and first[1] == second[1] == first[3] and first[2] == second[0]
    assert first[0] != second[0]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_fits_and_axe_finds_no_faults(site, posters, width, scheme):
    """Also needs axe-core (npm)."""
    if not AXE.is_file():
        pytest.skip("npm install axe-core, in this folder")
    with Browser(site[0], width, scheme) as browser:
        browser.driver.find_element("css selector", "summary").click()
        browser.drop(posters / "0.jpg", posters / "notes.txt", posters / "1.jpg")
        dark = "return matchMedia('(prefers-color-scheme: dark)').matches"
        assert browser.driver.execute_script(dark) == (scheme == "dark")
        assert browser.driver.execute_script("return document.body.scrollWidth") <= width
        assert browser.find_faults() == ([], [])

"""The page in a server, and in a browser that may reach no other host."""

import json
import re
import socket
import sys

from postergenres.app.answers import Answers

import pytest
from browser import check_page, list_complaints, open_browser
from conftest import draw_poster, encode_poster, image_bytes

INSTALL = "pip install -r requirements/app.txt"
server = pytest.importorskip("postergenres.app.server", reason=INSTALL)
CONNECTED = set()  # addresses that this process connected to, or looked up
OWN = {"127.0.0.1", "::1", "localhost", None}


def note_connections(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        CONNECTED.add(arguments[1][0])
    elif event == "socket.getaddrinfo":
        CONNECTED.add(arguments[0])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of the page; the temporary folder, in which uploads would be."""
    temporary = tmp_path_factory.mktemp("temporary")
    answers = Answers(tmp_path_factory.mktemp("data"), "improved", top=5)
    sys.addaudithook(note_connections)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(temporary))
        patch.setenv("http_proxy", "http://proxy.example:9")
        CONNECTED.clear()
        with server.serving(answers, port=0) as address:
            assert not CONNECTED - OWN
            patch.delenv("http_proxy")  # selenium would use it
            yield address, temporary
    assert list(temporary.iterdir()) == []


def list_files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_page_is_served_to_this_machine_only(site):
    port = int(site[0].rpartition(":")[2])
    own = socket.gethostbyname(socket.gethostname())
    for host in {own, "127.0.0.2"} - {"127.0.0.1"}:
        with pytest.raises(OSError):
            socket.create_connection((host, port), timeout=2).close()
        CONNECTED.discard(host)


def test_a_port_in_use_is_one_line(site, tmp_path):
    port = int(site[0].rpartition(":")[2])
    answers = Answers(tmp_path, "improved", top=3)
    line = f"^Port {port} is in use. Name another: python -m postergenres.app --port "
    with pytest.raises(SystemExit, match=line), server.serving(answers, port):
        pass


# --- in a browser ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def posters(tmp_path_factory):
    folder = tmp_path_factory.mktemp("posters")
    for seed in range(3):
        (folder / f"{seed}.jpg").write_bytes(encode_poster(draw_poster(seed)))
    (folder / "<b>x.png").write_bytes(image_bytes(form="PNG"))
    (folder / "notes.txt").write_text("no poster")
    with open(folder / "large.jpg", "wb") as file:
        file.truncate(200_000_000)
    return folder


COPY = """
const [kind, bytes, done] = arguments;
const blob = new Blob([new Uint8Array(bytes)], { type: kind });
navigator.clipboard.write([new ClipboardItem({ [kind]: blob })]).then(done);
"""


class Browser:
    """Chromium on the page. It can reach no other host, and its log says which it asks for."""

    def __init__(self, address, width=1280, scheme="light"):
        own_only = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        self.driver = open_browser(width, scheme, ["--no-proxy-server", own_only])
        clipboard = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
        self.driver.execute_cdp_cmd("Browser.grantPermissions", clipboard)
        self.driver.get(address)
        self.wait_for("return !!document.querySelector('#drop')")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.driver.quit()

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def wait_for(self, script, *arguments):
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, 30, 0.02).until(
            lambda driver: driver.execute_script(script, *arguments)
        )

    def drop(self, *paths):
        """Choose files, wait for the answer, and return its text."""
        self.find("#drop").send_keys("\n".join(map(str, paths)))
        return self.read_answer([path.name for path in paths])

    def paste(self, kind, content):
        """Put something on the clipboard, and press Ctrl-V."""
        from selenium.webdriver import ActionChains, Keys

        self.driver.execute_async_script(COPY, kind, list(content))
        keys = ActionChains(self.driver)
        keys.key_down(Keys.CONTROL).send_keys("v").key_up(Keys.CONTROL).perform()

    def read_answer(self, names):
        self.wait_for("return document.querySelector('#headline').textContent.endsWith('.')")
        paths = self.driver.find_elements("css selector", "#answer .path")
        assert [path.text for path in paths] == names
        return self.find("#answer").text

    def list_hosts(self):
        """Return the hosts of all requests since the last call."""
        log = [json.loads(x["message"])["message"] for x in self.driver.get_log("performance")]
        urls = [
            message["params"].get("request", message["params"])["url"]
            for message in log
            if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated")
        ]
        return {url.split("/")[2] for url in urls if not url.startswith(("data:", "blob:"))}


@pytest.mark.slow
def test_posters_are_answered_and_nothing_is_kept_or_sent_elsewhere(site, posters):
    address, temporary = site
    with Browser(address) as browser:
        text = browser.drop(posters / "0.jpg", posters / "<b>x.png")
        assert re.match(
            r"2 posters, predicted in .* s\.\nPredicted by the pretrained improved", text
        )
        assert len(re.findall(r"floor \d+ %", text)) >= 10
        images = browser.driver.find_elements("css selector", "#answer img")
        assert len(images) == 4 and all(image.get_property("naturalWidth") for image in images)
        browser.driver.find_element("xpath", "//button[contains(., 'The Kid')]").click()
        text = browser.read_answer(["The Kid (1921)"])
        assert "True genres: Comedy, Drama, Family\n" in text
        browser.find("#all-examples").click()
        browser.wait_for("return document.querySelectorAll('#answer .path').length === 8")
        assert list_files(temporary) == []
        assert browser.list_hosts() == {address.removeprefix("http://")}
        assert list_complaints(browser.driver) == []
    assert not CONNECTED - OWN


@pytest.mark.slow
def test_a_pasted_poster_is_answered_and_pasted_text_is_not(site):
    with Browser(site[0]) as browser:
        browser.paste("text/plain", b"no poster")
        browser.paste("image/png", image_bytes(form="PNG"))
        text = browser.read_answer(["image.png"])  # Chromium's name for it
        assert "1 poster, predicted in" in text and "floor" in text


@pytest.mark.slow
def test_bad_files_are_a_sentence_and_the_page_goes_on(site, posters):
    with Browser(site[0]) as browser:
        text = browser.drop(posters / "large.jpg", posters / "notes.txt")
        assert "Could not be read: too large: over 20,000,000 bytes" in text
        assert "Could not be read: not an image" in text
        assert text.startswith("2 posters, which could not be read.\n")
        text = browser.drop(posters / "1.jpg", posters / "notes.txt")
        assert re.match(r"2 posters: 1 predicted in .* s, 1 could not be read\.\n", text)


@pytest.mark.slow
def test_another_model_answers_the_last_posters_again(site, posters):
    with Browser(site[0]) as browser:
        before = browser.drop(posters / "0.jpg", posters / "1.jpg")
        browser.driver.find_element("xpath", "//label[contains(., 'efficientnet_lite2')]").click()
        after = browser.read_answer(["0.jpg", "1.jpg"])
        assert "Predicted by the pretrained efficientnet_lite2" in after
        assert re.findall(r"\d+ %", before) != re.findall(r"\d+ %", after)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_fits_and_axe_finds_no_faults(site, posters, width, scheme):
    with Browser(site[0], width, scheme) as browser:
        browser.find("summary").click()
        browser.drop(posters / "0.jpg", posters / "notes.txt", posters / "1.jpg")
        check_page(browser.driver, width, scheme)
        assert list_complaints(browser.driver) == []

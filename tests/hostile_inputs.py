"""Step 1: ids, posters, URLs, responses, bodies and CSVs."""

import struct
import zlib
from urllib.parse import quote

from postergenres.settings import MOST_PIXELS

from conftest import image_bytes, progressive


def cells(id="m1", genre="Drama", poster="HOST/ok/a.jpg"):
    """A CSV of one movie. HOST is replaced by the poster host, OUTSIDE by a file elsewhere."""
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in (id, genre, poster)]
    return {"csv": "Id,Genre,Poster\n" + ",".join(quoted) + "\n"}


def response(behaviour, **settings):
    return cells(poster=f"HOST/{behaviour}/a.jpg") | settings


def body(content, **settings):
    return response("body") | {"body": content} | settings


def in_folder(poster="", id="m1", **settings):
    return cells(id, poster=poster) | {"poster_base": "FOLDER"} | settings


def under_prefix(poster):
    return cells(poster=poster) | {"poster_base": "HOST/ok"}


def csv(text, **settings):
    return {"csv": text, "poster_base": "HOST/ok"} | settings


def train_only(text, **settings):
    return cells() | {"train_only": text} | settings


def redirect(url):
    return response(f"to={quote(url, safe='')}")


def png(width, height):
    """A PNG whose header states this size, with almost no data."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


NO_FILE = ("gone", "the id cannot name a file")
NO_PATH = ("gone", "the poster path does not name a file")
NO_IMAGE = ("gone", "no image in")
NOT_AN_IMAGE = ("failed", "not an image")
OK = ("ok", "")

INPUTS = {  # what step 1 reads from elsewhere: (changes, status and error of the row, or the line)
    # Ids. Each movie has an image at its URL, but an unusable id must not name a file.
    "id: parent folder": (cells(id="../../x"), NO_FILE),
    "id: Windows path": (cells(id="..\\x"), NO_FILE),
    "id: NUL byte": (cells(id="a\0b"), NO_FILE),
    "id: newline": (cells(id="a\nb"), NO_FILE),
    "id: 5,000 characters": (cells(id="x" * 5000), NO_FILE),
    "id: device": (cells(id="CON"), NO_FILE),
    "id: with a blank": (cells(id="a b"), NO_FILE),
    "id: digits that are not ASCII": (cells(id="tt١٢٣"), NO_FILE),
    "id: none": (cells(id=""), "lists no movies"),
    # Poster cells.
    "poster: none": (cells(poster=""), "neither a URL nor a folder"),
    "poster: N/A": (under_prefix("N/A"), ("gone", "no poster listed")),
    "poster: file URL": (under_prefix("file://OUTSIDE"), ("gone", "another scheme than http")),
    "poster: script": (under_prefix("javascript:x()"), ("gone", "another scheme than http")),
    "poster: parent folder": (under_prefix("../../x.jpg"), NO_PATH),
    "poster: another host": (under_prefix("//h/x.jpg"), NO_PATH),
    "poster: Windows path": (under_prefix("..\\x.jpg"), NO_PATH),
    "poster: NUL byte": (under_prefix("a\0.jpg"), NO_PATH),
    "poster: newline": (under_prefix("a\r\nX: y.jpg"), NO_PATH),
    "poster: subfolder": (under_prefix("/b/c d.jpg"), OK),
    # URLs.
    "URL: 5,000 characters": (cells(poster="HOST/ok/" + "x" * 5000), ("gone", "too long")),
    "URL: no host": (cells(poster="http://"), ("gone", "no http or https URL")),
    "URL: empty label": (cells(poster="http://a..b/x.jpg"), ("failed", "label")),
    "URL: long label": (cells(poster=f"http://{'a' * 70}.b/x.jpg"), ("failed", "label")),
    "URL: bad bracket": (cells(poster="http://[::1/x.jpg"), ("gone", "LocationParseError")),
    "URL: https to a host without TLS": (cells(poster="TLS/ok/a.jpg"), ("failed", "SSL")),
    "URL: with a blank": (cells(poster="HOST/ok/a b.jpg"), OK),
    "URL: not ASCII": (cells(poster="HOST/ok/é.jpg"), OK),
    # A folder of images.
    "folder: parent folder": (in_folder("/../outside.jpg"), NO_IMAGE),
    "folder: absolute path": (in_folder("OUTSIDE"), NO_IMAGE),
    "folder: file URL": (in_folder("file://OUTSIDE"), NO_IMAGE),
    "folder: Windows path": (in_folder("..\\outside.jpg"), NO_IMAGE),
    "folder: NUL byte": (in_folder("a\0.jpg"), NO_IMAGE),
    "folder: 250 characters of two bytes": (in_folder("é" * 250), NO_IMAGE),
    "folder: the folder itself": (in_folder("."), NO_IMAGE),
    "folder: a folder of that name": (in_folder("folder.jpg"), NO_IMAGE),
    "folder: empty file": (in_folder("empty.jpg"), NOT_AN_IMAGE),
    "folder: cut short": (in_folder("short.jpg"), ("failed", "cut short")),
    "folder: too many bytes": (in_folder("good.jpg", max_bytes=100), ("gone", "too large")),
    "folder: good": (in_folder("/good.jpg"), OK),
    # HTTP responses.
    "HTTP: short": (response("short"), ("failed", "IncompleteRead")),
    "HTTP: reset": (response("reset"), ("failed", "reset")),
    "HTTP: hang up": (response("hang_up"), ("failed", "RemoteDisconnected")),
    "HTTP: another protocol": (response("not_http"), ("failed", "BadStatusLine")),
    "HTTP: header of 100 kB": (response("long_header"), ("failed", "LineTooLong")),
    "HTTP: chunks": (response("chunked"), OK),
    "HTTP: chunks cut short": (response("chunked_short"), ("failed", "IncompleteRead")),
    "HTTP: no length": (response("unsized"), OK),
    "HTTP: compressed": (response("gzipped"), OK),
    "HTTP: endless body": (response("endless", max_bytes=100_000), ("gone", "too large")),
    "HTTP: too many bytes": (response("ok", max_bytes=100), ("gone", "too large: over 100 bytes")),
    "HTTP: no response": (response("slow"), ("failed", "timed out")),
    "HTTP: slow body": (response("drip", time_limit=1), ("failed", "Timeout")),
    "redirect: to an image": (redirect("/ok/b.jpg"), OK),
    "redirect: to a file": (redirect("file://OUTSIDE"), ("failed", "InvalidSchema")),
    "redirect: to ftp": (redirect("ftp://h/a.jpg"), ("failed", "InvalidSchema")),
    "redirect: endless": (redirect("?x"), ("failed", "TooManyRedirects")),
    "redirect: to no URL": (redirect("http://[::1/a"), ("failed", "ValueError")),
    # Bodies.
    "body: empty": (body(b""), NOT_AN_IMAGE),
    "body: first bytes of a JPEG": (body(b"\xff\xd8\xff\xe0" + bytes(1000)), NOT_AN_IMAGE),
    "body: BMP": (body(image_bytes(form="BMP")), NOT_AN_IMAGE),
    "body: EPS": (body(image_bytes(form="EPS")), NOT_AN_IMAGE),
    "body: SVG": (body(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), NOT_AN_IMAGE),
    "body: PNG": (body(image_bytes(form="PNG")), OK),
    "body: WebP": (body(image_bytes(form="WEBP")), OK),
    "body: GIF": (body(image_bytes(form="GIF")), OK),
    "body: too many pixels": (
        body(image_bytes(), max_pixels=500),
        ("gone", "too large: 20 x 30 pixels, over 500"),
    ),
    "body: bomb": (
        body(png(9_900, 9_900)),
        ("gone", "too large: 9900 x 9900 pixels, over 50,000,000"),
    ),
    "body: bomb, with the largest MAX_PIXELS": (
        body(png(9_900, 9_900), max_pixels=MOST_PIXELS),
        ("gone", "too large: 9900 x 9900 pixels, over 89,478,485"),
    ),
    "body: bomb that Pillow refuses": (
        body(png(50_000, 50_000)),
        ("gone", "too large: 2,500,000,000 pixels, over 50,000,000"),
    ),
    "body: 20,000 scans": (
        body(progressive(999, 20_000)),
        ("failed", "not an image: over 100 scans"),
    ),
    "body: no pixels": (body(png(0, 0)), NOT_AN_IMAGE),
    "body: PNG cut short": (
        body(image_bytes(form="PNG", size=(300, 300))[:-40]),
        ("failed", "cut"),
    ),
    "body: WebP cut short": (body(image_bytes(form="WEBP", size=(300, 300))[:-40]), NOT_AN_IMAGE),
    # Genres, and the CSV as a whole.
    "genre: code": (cells(genre="[__import__('os').abort()]"), OK),
    "CSV: empty": (csv(""), "needs a column of genres"),
    "CSV: header only": (csv("Id,Genre,Poster\n"), "lists no movies"),
    "CSV: no ids": (csv("Title,Genre\nx,Drama\n"), "needs a column of ids"),
    "CSV: zeros": (csv("\0" * 1000), "needs a column of genres"),
    "CSV: endless cell": (csv('Id,Genre\na,"' + "x" * 11_000_000), "has a stray quote in line 2"),
    "CSV: unclosed quote": (
        csv('Id,Genre,Poster\na,"Drama,a.jpg\n' + "b,Drama,b.jpg\n" * 9),
        r'has a stray quote in line 2, which hides the rows after it: a,"Drama,a.jpg - Remove',
    ),
    "CSV: compressed by nobody": (
        {"csv": "\x1f\x8b\x08", "encoding": "latin-1"},
        "cannot be read as a CSV .* Check METADATA_CSV",
    ),
    "CSV: no posters": (csv("Id,Genre\na,Drama\n"), "lists no posters: it has no column"),
    # A second CSV, of movies to train on only.
    "train-only CSV: empty": (
        train_only(""),
        "needs a column of genres .* Check TRAIN_ONLY_CSV",
    ),
    "train-only CSV: header only": (
        train_only("Id,Genre,Poster\n"),
        "lists no movies. Check TRAIN_ONLY_CSV",
    ),
    "train-only CSV: the movie of the other": (
        train_only("Id,Genre,Poster\nM1,Drama,HOST/ok/a.jpg\n"),
        "lists no movies that METADATA_CSV does not list. Check TRAIN_ONLY_CSV",
    ),
    "train-only CSV: no posters": (
        train_only("Id,Genre\na,Drama\n"),
        "lists no posters: it has no column .* Set TRAIN_ONLY_POSTERS",
    ),
    "train-only CSV: paths without a prefix": (
        train_only("Id,Genre,Poster\na,Drama,a.jpg\n", train_only_posters="no"),
        r"TRAIN_ONLY_POSTERS \(no\) is neither a URL nor a folder.* Set TRAIN_ONLY_POSTERS",
    ),
}

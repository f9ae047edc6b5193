import time

from postergenres.report.named_posters import decode_batches, find_posters

import pytest
from conftest import image_bytes
from PIL import EpsImagePlugin, features


def test_a_stopped_run_does_not_wait_for_a_slow_host(pipeline, host):
    names = [next(pipeline.images.glob("*.jpg")), *[f"{host.url}/slow/{i}.jpg" for i in range(9)]]
    batches = decode_batches(list(map(str, names)), 48, 32, batch_size=1)
    begin = time.monotonic()
    assert next(batches)[0][1] == ""
    batches.close()
    assert time.monotonic() - begin < 1.5  # the host takes 2 s


def test_a_folder_stands_for_its_images_by_name(tmp_path):
    for name in ("b.png", "a.jpg"):
        (tmp_path / name).write_bytes(image_bytes())
    (tmp_path / "notes.txt").write_text("no poster")
    (tmp_path / "empty").mkdir()
    found = find_posters(["https://host/x.jpg", tmp_path, tmp_path / "empty", "none.jpg"])
    expected = [tmp_path / "a.jpg", tmp_path / "b.png", tmp_path / "empty"]
    assert found == ["https://host/x.jpg", *map(str, expected), "none.jpg"]


def test_batches_keep_the_order_of_files_and_urls(tmp_path, host):
    host.bodies["red"] = image_bytes((220, 40, 40), (40, 60))
    (tmp_path / "blue.png").write_bytes(image_bytes((50, 60, 160), (40, 60), form="PNG"))
    names = [f"{host.url}/red/a.jpg", str(tmp_path / "blue.png"), f"{host.url}/404/b.jpg"] * 5
    batches = list(decode_batches(names, 48, 32, batch_size=4))
    assert [len(batch) for batch in batches] == [4, 4, 4, 3]
    posters = [poster for batch in batches for poster in batch]
    for start in range(0, 15, 3):
        (red, _, _), (blue, _, _), (none, error, _) = posters[start : start + 3]
        assert red.shape == blue.shape == (48, 32, 3)
        assert red[0, 0, 0] > blue[0, 0, 0] and blue[0, 0, 2] > red[0, 0, 2]
        assert none is None and error == "HTTP 404"


def test_nothing_is_decoded_without_posters():
    assert list(decode_batches([], 48, 32, batch_size=4)) == []


def test_an_eps_file_never_reaches_ghostscript(tmp_path, monkeypatch):
    """Whatever its name."""

    def refuse(*arguments, **options):
        raise AssertionError("Ghostscript was called")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", refuse)
    names = [str(tmp_path / name) for name in ("a.jpg", "b.eps")]
    for name in names:
        with open(name, "wb") as file:
            file.write(image_bytes(form="EPS"))
    ((a, b),) = decode_batches(names, 48, 32, batch_size=4)
    assert a == b == (None, "UnidentifiedImageError: cannot identify image file", [])


@pytest.mark.parametrize(
    "form", ["JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF"]
)
def test_the_formats_that_people_have_are_read(tmp_path, form):
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    path = tmp_path / "poster"
    path.write_bytes(image_bytes((220, 40, 40), (40, 60), form=form))
    (((pixels, error, _),),) = decode_batches([str(path)], 48, 32, batch_size=4)
    assert error == "" and abs(pixels.mean(axis=(0, 1)) - [220, 40, 40]).max() < 10

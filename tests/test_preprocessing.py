import json

import numpy as np
import pandas as pd
import pytest
from conftest import image_bytes
from PIL import Image

import preprocessing
from ledger import poster_path, write_csv

SAMPLES = [
    ("a", "Drama", "train", 3, (250, 10, 10)),
    ("b", "Comedy|Drama", "train", 1, (10, 250, 10)),
    ("c", "Comedy", "val", 1, None),
    ("d", "War", "test", 1, (10, 10, 250)),
    ("NA", "War", "val", 1, (90, 90, 90)),
]


def write_samples(data_dir):
    """samples.csv and the posters of SAMPLES; the one without a colour is no image."""
    (data_dir / "posters").mkdir()
    for movie, _, _, _, colour in SAMPLES:
        body = image_bytes(colour) if colour else b"no image"
        poster_path(data_dir, movie).write_bytes(body)
    columns = ["id", "genres", "split", "copies"]
    rows = pd.DataFrame([row[:4] for row in SAMPLES], columns=columns).assign(title="x")
    write_csv(rows, data_dir / "samples.csv")


@pytest.fixture
def data(tmp_path):
    write_samples(tmp_path)
    preprocessing.main(tmp_path, image_height=15, image_width=10, workers=2)
    return tmp_path


def test_store_holds_each_poster_once_and_leaves_out_what_does_not_decode(data):
    store = preprocessing.open_store(data)
    assert store.images.shape == (4, 15, 10, 3) and store.images.dtype == np.uint8
    assert isinstance(store.images, np.memmap) and not store.images.flags.writeable
    assert store.genres == ["Comedy", "Drama", "War"]
    assert store.labels.dtype == np.uint8
    assert store.labels.tolist() == [[0, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert store.index.reset_index().to_dict("list") == {
        "row": [0, 1, 2, 3],
        "id": ["a", "b", "d", "NA"],
        "split": ["train", "train", "test", "val"],
        "copies": [3, 1, 1, 1],
    }
    for pixels, row in zip(store.images, (0, 1, 3, 4), strict=True):
        assert abs(pixels.astype(int) - SAMPLES[row][4]).max() <= 6
    assert store.rows("train").tolist() == [0, 1] and store.rows("val").tolist() == [3]
    about = json.loads((data / "store" / "store.json").read_text())
    assert (about["H"], about["W"], about["N"]) == (15, 10, 4)
    errors = pd.read_csv(data / "store" / "errors.csv")
    assert list(errors["id"]) == ["c"] and "cannot identify" in errors["error"][0]


def test_a_finished_store_is_kept_and_a_changed_poster_or_size_rebuilds_it(data, capsys):
    images = data / "store" / "images.npy"
    before = images.stat().st_mtime_ns
    preprocessing.main(data, image_height=15, image_width=10, workers=1)
    assert "is up to date" in capsys.readouterr().out and images.stat().st_mtime_ns == before
    poster_path(data, "c").write_bytes(image_bytes())
    preprocessing.main(data, image_height=15, image_width=10, workers=1)
    assert preprocessing.open_store(data).images.shape == (5, 15, 10, 3)
    preprocessing.main(data, image_height=30, image_width=20, workers=1)
    assert preprocessing.open_store(data).images.shape == (5, 30, 20, 3)


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "index.csv"])
def test_a_damaged_store_is_built_anew(data, name):
    (data / "store" / name).unlink()
    preprocessing.main(data, image_height=15, image_width=10, workers=1)
    assert len(preprocessing.open_store(data).images) == 4


def test_without_posters_no_store_looks_finished(data):
    for movie, *_ in SAMPLES:
        poster_path(data, movie).unlink()
    with pytest.raises(SystemExit, match="Too few posters.*Run: python database.py|run: python"):
        preprocessing.main(data, image_height=15, image_width=10, workers=1)
    with pytest.raises(SystemExit, match="is missing"):
        preprocessing.open_store(data)


def test_the_number_of_processes_changes_nothing(data):
    def contents():
        files = sorted((data / "store").iterdir())
        return {path.name: path.read_bytes() for path in files}

    two = contents()
    (data / "store" / "store.json").unlink()
    preprocessing.main(data, image_height=15, image_width=10, workers=1)
    assert contents() == two


def test_a_store_that_does_not_match_the_samples_is_refused(data):
    samples = data / "samples.csv"
    samples.write_text(samples.read_text().replace("Comedy", "Romance"))
    with pytest.raises(SystemExit, match="another .*Run: python preprocessing.py"):
        preprocessing.open_store(data)


def test_an_unfinished_store_is_refused(data):
    (data / "store" / "store.json").unlink()
    with pytest.raises(SystemExit, match="is missing. Run: python preprocessing.py"):
        preprocessing.open_store(data)


def test_missing_samples_name_the_command(tmp_path):
    with pytest.raises(SystemExit, match="samples.csv is missing. Run: python sampling.py"):
        preprocessing.main(tmp_path)


def save(tmp_path, image, name="x.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "1", "RGBA", "LA", "I;16"])
def test_every_mode_gives_its_colour(tmp_path, mode):
    grey = 255 if mode == "1" else 204
    if mode == "I;16":
        image = Image.fromarray(np.full((30, 20), grey * 256, dtype=np.uint16))
    else:
        image = Image.new("RGB", (20, 30), (grey, grey, grey)).convert(mode)
    pixels = preprocessing.decode_poster(save(tmp_path, image, "x.tif"), 15, 10)
    assert pixels.shape == (15, 10, 3) and pixels.dtype == np.uint8
    assert abs(pixels.astype(int) - grey).max() <= 2


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_are_white(tmp_path, mode):
    if mode == "P":
        path = save(tmp_path, Image.new("P", (20, 30), 0), transparency=0)
    else:
        path = save(tmp_path, Image.new(mode, (20, 30), 0))
    assert (preprocessing.decode_poster(path, 15, 10) == 255).all()


def test_a_rotated_photo_stands_upright(tmp_path):
    image = Image.new("RGB", (400, 200), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, 200, 200))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    path = save(tmp_path, image, "x.jpg", exif=exif)
    pixels = preprocessing.decode_poster(path, 40, 20)
    assert pixels[5, 10, 0] > 200 and pixels[35, 10, 2] > 200


@pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Truncated File")
def test_a_photo_whose_exif_is_broken_is_read_all_the_same(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path, Image.new("RGB", (20, 30), (200, 30, 30)), "x.jpg", exif=exif)
    body = path.read_bytes()
    start = body.index(b"Exif")
    for offset in range(6, 32):
        path.write_bytes(body[: start + offset] + b"\x06" + body[start + offset + 1 :])
        pixels, error = preprocessing.try_decode(path, 15, 10)
        assert error == "" and pixels.shape == (15, 10, 3)


def test_pixels_are_close_to_a_full_quality_resize(tmp_path):
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (30, 20, 3), dtype=np.uint8))
    path = save(tmp_path, coarse.resize((1000, 1500), Image.Resampling.BICUBIC), "x.jpg")
    with Image.open(path) as image:
        best = image.convert("RGB").resize((101, 150), Image.Resampling.BICUBIC)
    fast = preprocessing.decode_poster(path, 150, 101)
    assert abs(fast.astype(int) - np.asarray(best)).mean() < 2


@pytest.mark.parametrize("body", [b"", b"text", image_bytes()[:300], image_bytes(form="PNG")[:60]])
def test_what_is_no_image_has_a_reason(tmp_path, body):
    path = tmp_path / "x.jpg"
    path.write_bytes(body)
    with pytest.raises(ValueError, match="Error"):
        preprocessing.decode_poster(path, 15, 10)
    pixels, error = preprocessing.try_decode(path, 15, 10)
    assert pixels is None and "Error" in error


@pytest.mark.parametrize("setting", [{"image_height": 0}, {"image_width": -1}, {"workers": 0}])
def test_bad_settings(tmp_path, setting):
    with pytest.raises(ValueError, match=str(next(iter(setting.values())))):
        preprocessing.main(tmp_path, **setting)

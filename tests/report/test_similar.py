import shutil
from types import SimpleNamespace

from postergenres.dataset.decoding import try_decode
from postergenres.dataset.store import open_store
from postergenres.models.description import PRETRAINED_FOLDERS
from postergenres.poster_model import PosterModel
from postergenres.report import similar
from postergenres.report.similar import open_similar, search

import numpy as np
import pandas as pd
import pytest
from conftest import contents
from hypothesis import given, settings
from hypothesis import strategies as st

import predict

CHUNK = 40  # posters per feature file


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_search_finds_what_comparing_all_pairs_finds(data):
    seed, size = data.draw(st.integers(0, 999)), data.draw(st.integers(0, 40))
    count, block = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 15))
    rng = np.random.default_rng(seed)
    # Few values, so that there are zeros, equal rows and equal similarities.
    features = rng.integers(-2, 3, (size, 4)).astype(np.float16)
    queries = rng.integers(-2, 3, (data.draw(st.integers(1, 5)), 4)).astype(np.float32)
    rows = rng.permutation(100)[:size]
    parts = [slice(start, start + block) for start in range(0, size, block)]
    found, similarities = search(queries, ((rows[x], features[x]) for x in parts), count)
    assert found.shape == similarities.shape == (len(queries), count)
    position = {row: i for i, row in enumerate(rows)}
    for query, nearest, cosines in zip(queries, found, similarities, strict=True):
        products = features.astype(float) @ query
        lengths = np.linalg.norm(features.astype(float), axis=1) * np.linalg.norm(query)
        expected = products / np.where(lengths > 0, lengths, 1)
        best = np.sort(expected)[::-1][:count]
        np.testing.assert_allclose(cosines[: len(best)], best, atol=1e-6)
        assert (nearest[len(best) :] == -1).all() and np.isneginf(cosines[len(best) :]).all()
        nearest = nearest[: len(best)]
        assert len(set(nearest)) == len(nearest)
        by_rows = [expected[position[row]] for row in nearest]
        np.testing.assert_allclose(by_rows, cosines[: len(best)], atol=1e-6)


def test_of_equal_rows_the_first_comes_first():
    blocks = [(np.array([7, 3]), np.ones((2, 3))), (np.array([5]), np.ones((1, 3)))]
    rows, _ = search(np.ones((1, 3)), blocks, 2)
    assert rows.tolist() == [[7, 3]]


@pytest.fixture(scope="module")
def model(pipeline):
    return PosterModel(pipeline.data / "model")


@pytest.fixture
def data(pipeline, tmp_path):
    """A data folder with a store and posters, without a model."""
    for name in ("store", "posters"):
        shutil.copytree(pipeline.data / name, tmp_path / "data" / name)
    shutil.copy(pipeline.data / "samples.csv", tmp_path / "data")
    return tmp_path / "data"


def flip_bit(path):
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)


def list_files(data):
    return sorted((data / "features").glob("*/*.npy"))


def test_training_movies_are_found_by_their_own_posters(data, model, capsys):
    movies = open_similar(data, model, chunk=CHUNK)
    out = capsys.readouterr().out
    store = open_store(data)
    assert out.count("\n") == 1 and "SIMILAR = 0 in predict.py skips this" in out
    assert f"computing the features of {len(store.labels)} posters" in out
    samples = pd.read_csv(data / "samples.csv", dtype=str, keep_default_na=False).set_index("id")
    rows = np.concatenate([store.rows("train")[:10], store.rows("test")[:10]])
    found = movies.find(model.network.predict(store.images[rows]).features, 3)
    assert [len(nearest) for nearest in found] == [3] * 20
    for row, nearest in zip(rows, found, strict=True):
        assert (nearest[0].id == store.index["id"][row]) == (row in rows[:10])
        assert (nearest[0].similarity > 0.99999) == (row in rows[:10])
        similarities = [neighbor.similarity for neighbor in nearest]
        assert similarities == sorted(similarities, reverse=True) and max(similarities) <= 1
        for neighbor in nearest:
            movie = samples.loc[neighbor.id]
            assert movie["split"] == "train" and neighbor.title == movie["title"]
            assert "|".join(neighbor.genres) == movie["genres"]
            assert neighbor.path == data / "posters" / f"{neighbor.id}.jpg"


def test_features_are_kept_and_only_missing_or_damaged_ones_are_made_again(data, model, capsys):
    open_similar(data, model, chunk=CHUNK)
    before = contents(data / "features")
    files = list_files(data)
    assert len(files) == -(-len(open_store(data).labels) // CHUNK) > 2
    assert np.load(files[0]).dtype == np.float16
    capsys.readouterr()
    opened = open_similar(data, model, chunk=CHUNK)
    assert capsys.readouterr() == ("", "") and contents(data / "features") == before
    (query,) = model.network.predict(open_store(data).images[:1]).features
    np.testing.assert_allclose(np.load(opened.chunks[0][0])[0], query, rtol=2e-3, atol=1e-3)

    opened.chunks[0][0].unlink()  # a run that was stopped leaves the others
    path = opened.chunks[1][0]
    flip_bit(path)
    open_similar(data, model, chunk=CHUNK)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"computing the features of {2 * CHUNK} posters")
    assert second == f"note: {path} is damaged: its features are made again"
    assert contents(data / "features") == before


def test_another_model_has_features_of_its_own_and_reads_the_stores_posters(data, model, capsys):
    """A poster that is missing or another one is a note."""
    open_similar(data, model)
    own = contents(data / "features")
    other = PosterModel(PRETRAINED_FOLDERS["improved"], words=False)
    store = open_store(data)
    row = store.rows("train")[0]
    path = data / "posters" / f"{store.index['id'][row]}.jpg"
    body = path.read_bytes()
    for harm, reason in ((b"another", "has changed"), (None, "No such file or directory")):
        path.write_bytes(harm) if harm else path.unlink()
        assert open_similar(data, other) is None
        assert capsys.readouterr().out.splitlines()[-1] == (
            f"note: no similar movies are shown: {path}: {reason}. Run: python database.py "
            f"--data-dir {data} and python preprocessing.py --data-dir {data}"
        )
    path.write_bytes(body)
    movies = open_similar(data, other)
    assert own.items() < contents(data / "features").items()
    assert len(list((data / "features").iterdir())) == 2
    pixels, _ = try_decode(body, *other.size)
    nearest = movies.find(other.network.predict(pixels[None]).features, 1)[0][0]
    assert nearest.id == store.index["id"][row] and nearest.similarity > 0.9999


def test_an_unusable_store_is_a_note_and_its_pixels_are_only_checked_if_they_are_read(
    data, model, capsys
):
    index, images = data / "store" / "index.csv", data / "store" / "images.npy"
    flip_bit(images)
    assert open_similar(data, model) is None and not list_files(data)
    assert f"{images} was changed or damaged. Run: " in capsys.readouterr().out
    for _ in range(2):  # whole, which computes the features, and damaged again
        flip_bit(images)
        assert open_similar(data, model) is not None
    capsys.readouterr()
    for path, size in ((images, 999), (index, 9)):
        path.write_bytes(path.read_bytes()[:size])
        assert open_similar(data, model) is None
        assert capsys.readouterr().out == (
            f"note: no similar movies are shown: {path} was changed or damaged. "
            f"Run: python preprocessing.py --data-dir {data}\n"
        )


def test_movies_without_samples_csv_or_a_poster_have_no_title_or_path(data, model):
    (data / "samples.csv").unlink()
    shutil.rmtree(data / "posters")
    movies = open_similar(data, model)
    features = model.network.predict(open_store(data).images[:1]).features
    for neighbor in movies.find(features)[0]:
        assert neighbor.title == "" and neighbor.path is None and neighbor.genres


def test_features_too_large_for_float16_stay_finite():
    features = np.array([[1e9, -1e9, 0.5]], np.float32)
    network = SimpleNamespace(predict=lambda posters: SimpleNamespace(features=features))
    bar = SimpleNamespace(update=lambda count: None)
    found = similar.compute_features(network, lambda rows: rows, np.arange(1), bar)
    assert found.tolist() == [[65504, -65504, 0.5]]


def test_predict_py_writes_similar_csv_and_shows_it_on_the_page(data, pipeline, capsys):
    shutil.copytree(pipeline.data / "model", data / "model")
    train = open_store(data).rows("train")[0]
    own = data / "posters" / f"{open_store(data).index['id'][train]}.jpg"
    paths = [own, "none.jpg", *sorted(pipeline.images.glob("*.jpg"))[:2]]
    table = predict.main(paths, data, sheet=1)
    out = capsys.readouterr().out
    assert f"wrote {data / 'similar.csv'}" in out
    found = pd.read_csv(data / "similar.csv", keep_default_na=False)
    assert list(found.columns) == ["path", "rank", "id", "title", "genres", "similarity"]
    assert found["path"].tolist() == [str(path) for path in (own, *paths[2:]) for _ in "12345"]
    assert found["rank"].tolist() == [1, 2, 3, 4, 5] * 3
    assert found["id"][0] == own.stem and found["similarity"][0] == 1
    page = (data / "predictions.html").read_text(encoding="utf-8")
    assert page.count('<ol class="similar">') == 1 and page.count("<img") == 2 + 5

    assert predict.main(paths, data, similar=0).equals(table)
    assert not (data / "similar.csv").exists()  # it would be of other posters
    assert "computing" not in capsys.readouterr().out
    assert 'class="similar"' not in (data / "predictions.html").read_text(encoding="utf-8")


def test_predict_py_without_a_store_says_nothing_about_similar_movies(tmp_path, pipeline, capsys):
    predict.main(sorted(pipeline.images.glob("*.jpg"))[:1], tmp_path, model="improved")
    assert "similar" not in capsys.readouterr().out
    written = {path.name for path in tmp_path.iterdir()} - {".predict.lock"}
    assert written == {"predictions.csv", "predictions.html"}

import inspect
import json
import os
import re
import subprocess
import sys

from postergenres.dataset.samples import read_samples, read_train_counts
from postergenres.download.manifest import poster_path
from postergenres.files import write_csv
from postergenres.settings import SettingError

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, contents, draw_poster, encode_poster
from PIL import Image

import sampling


def write_posters(data_dir, genres, status="ok"):
    """Write posters.csv with a movie for each genre cell, and posters that are no images.

    The bytes of the posters differ, so that none are alike.
    """
    rows = [
        {"id": f"tt{i:07d}", "title": f"Movie {i}", "genres": cell, "status": status}
        for i, cell in enumerate(genres)
    ]
    (data_dir / "posters").mkdir(parents=True, exist_ok=True)
    for row in rows:
        poster_path(data_dir, row["id"]).write_bytes(row["id"].encode())
    write_csv(pd.DataFrame(rows).assign(url="x", error=""), data_dir / "posters.csv")


def draw_genres(movies=1200, seed=0):
    """Draw genre cells as imbalanced as real ones: one genre is 30 times as common as another."""
    rng = np.random.default_rng(seed)
    shares = {"Drama": 0.5, "Comedy": 0.35, "Action": 0.15, "Horror": 0.1, "War": 0.03}
    shares["Western"] = 0.016
    cells = []
    for _ in range(movies):
        carried = [genre for genre, share in shares.items() if rng.random() < share]
        cells.append("|".join(carried or ["Drama"]))
    return cells


def count_copies(samples):
    """Return the number of movies of each genre in the sample, copies counted."""
    lists = samples.assign(genre=samples["genres"].str.split("|"))
    return lists.explode("genre").groupby("genre")["copies"].sum()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    write_posters(data, draw_genres())
    sampling.main(data)
    return data


@pytest.fixture(scope="module")
def samples(data):
    return read_samples(data)


NATURAL = pd.Series("|".join(draw_genres()).split("|")).value_counts()


def test_val_and_test_have_the_natural_mix_and_each_movie_once(samples):
    assert samples["id"].is_unique and set(samples["split"]) == {"train", "val", "test"}
    for split in ("val", "test"):
        part = samples[samples["split"] == split]
        assert len(part) == pytest.approx(180, abs=6) and (part["copies"] == 1).all()
        for genre, count in count_copies(part).items():
            assert count == pytest.approx(0.15 * NATURAL[genre], rel=0.1, abs=1)


def test_rare_genres_get_more_movies_and_copies_stay_in_train(samples):
    train = samples[samples["split"] == "train"]
    assert train["copies"].between(1, sampling.MAX_COPIES).all()
    assert (train["copies"] > 1).any()
    after = count_copies(train)
    for genre in ("War", "Western"):  # ML-ROS repeats the genres that are rarer than the mean
        assert after[genre] / after["Drama"] > 1.5 * NATURAL[genre] / NATURAL["Drama"]


def test_only_the_study_draws_a_part_of_the_training_movies_by_default(tmp_path):
    write_posters(tmp_path, draw_genres(300))
    shares = {}
    for oversampling in (None, "study", "none"):
        sampling.main(tmp_path, **({"oversampling": oversampling} if oversampling else {}))
        measures = json.loads((tmp_path / "sampling.json").read_text())["measures"]
        shares[oversampling] = measures["drawn"]["movies"] / measures["train"]["movies"]
    assert shares == {None: 1, "study": pytest.approx(0.5, abs=0.01), "none": 1}


def test_the_sample_depends_on_the_seed_but_not_on_the_order_of_rows(tmp_path):
    write_posters(tmp_path, draw_genres(300))
    sampling.main(tmp_path)
    first = (tmp_path / "samples.csv").read_bytes()
    posters = pd.read_csv(tmp_path / "posters.csv", dtype=str, keep_default_na=False)
    write_csv(posters.sample(frac=1, random_state=1), tmp_path / "posters.csv")
    sampling.main(tmp_path)
    assert (tmp_path / "samples.csv").read_bytes() == first
    sampling.main(tmp_path, seed=1)
    assert (tmp_path / "samples.csv").read_bytes() != first


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("near_duplicate", 257),
        ("oversampling", "smote"),
        ("fill", ((1000, 0.5), (10, 0.9))),
        ("max_copies", 1001),
        ("test_share", 0.9),  # and 0.15 for validation
    ],
)
def test_bad_settings_are_refused_with_name_and_value(tmp_path, name, value):
    with pytest.raises(SettingError, match=f"{name}.* got .*{re.escape(str(value))}"):
        sampling.main(tmp_path / "none", **{name: value})
    assert not (tmp_path / "none").exists()


def test_similar_posters_share_a_split(tmp_path, capsys):
    """20 pairs share a split with two seeds, which does not happen by chance."""
    write_posters(tmp_path, draw_genres(120))
    for i in range(100):
        poster_path(tmp_path, f"tt{i:07d}").write_bytes(encode_poster(draw_poster(i)))
    for i in range(20):
        body = encode_poster(draw_poster(i).resize((154, 231)), quality=70)
        poster_path(tmp_path, f"tt{i + 100:07d}").write_bytes(body)
    for seed in (0, 1):
        sampling.main(tmp_path, min_genre_movies=1, seed=seed)
        split = read_samples(tmp_path)["split"]
        assert split[:20].tolist() == split[100:].tolist()
    out = capsys.readouterr().out
    assert "40 posters are the same as another or nearly so, in 20 groups" in out
    assert "Movie 3 = Movie 103" in out
    duplicates = json.loads((tmp_path / "sampling.json").read_text())["duplicates"]
    assert ["tt0000003", "tt0000103"] in duplicates and len(duplicates) == 20


def test_an_empty_split_stops_the_step_before_anything_is_written(tmp_path):
    write_posters(tmp_path, draw_genres(30))
    sampling.main(tmp_path, min_genre_movies=1)
    before = contents(tmp_path)
    with pytest.raises(SystemExit, match="No movie is left for train.*run: python sampling.py"):
        sampling.main(tmp_path, min_genre_movies=1, val_share=0.5 - 1e-9, test_share=0.5)
    for i in range(30):
        body = encode_poster(draw_poster(0), quality=60 + i)
        poster_path(tmp_path, f"tt{i:07d}").write_bytes(body)
    with pytest.raises(SystemExit, match="No movie is left for val and test: .* in 1 groups"):
        sampling.main(tmp_path)
    after = contents(tmp_path)
    assert all(after[name] == before[name] for name in ("samples.csv", "sampling.json"))


def test_movies_whose_poster_is_a_placeholder_are_left_out(tmp_path, capsys):
    write_posters(tmp_path, ["Drama"] * 30 + ["War"] * 12)
    for i in range(20, 42):
        poster_path(tmp_path, f"tt{i:07d}").write_bytes(b"no image available")
    sampling.main(tmp_path)
    samples = read_samples(tmp_path)
    assert samples["id"].tolist() == [f"tt{i:07d}" for i in range(20)]
    assert set(samples["genres"]) == {"Drama"}
    assert "left out 22 movies whose poster is that of 10 movies or more" in capsys.readouterr().out


def test_counts_and_measures_are_written(samples, data):
    about = json.loads((data / "sampling.json").read_text())
    arguments = list(inspect.signature(sampling.main).parameters)
    assert list(about["settings"]) == arguments[1:-1]  # without data_dir and cluster
    assert about["settings"]["oversampling"] == "ml-ros" and about["settings"]["seed"] == 0
    train = samples[samples["split"] == "train"]
    for genre, count in count_copies(train).items():
        row = about["genres"][genre]
        assert row["sample"] == count >= row["drawn"] and row["movies"] > row["train"]
        assert row["IRLbl sample"] == pytest.approx(count_copies(train).max() / count)
    measures = about["measures"]
    assert measures["sample"]["movies"] == train["copies"].sum()
    assert measures["sample"]["MeanIR"] < measures["drawn"]["MeanIR"]
    with Image.open(data / "sampling.png") as picture:
        assert picture.width > 1000


def test_any_title_and_genre_can_be_printed_and_drawn(tmp_path):
    write_posters(tmp_path, ["Драма|$\\frac{$"] * 20)
    for i in range(20):
        poster_path(tmp_path, f"tt{i:07d}").write_bytes(encode_poster(draw_poster(i % 10)))
    posters = pd.read_csv(tmp_path / "posters.csv", dtype=str, keep_default_na=False)
    write_csv(posters.assign(title="千と千尋の神隠し"), tmp_path / "posters.csv")
    code = f"import sampling; sampling.main({str(tmp_path)!r})"
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "TQDM_DISABLE": "1"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
    assert read_samples(tmp_path)["title"].eq("千と千尋の神隠し").all()


# --- train-only movies ----------------------------------------------------------------------------

SHARES = (0.2, 0.5, 0.8)  # of two posters; those that follow each other are near duplicates
CHAINS = ["ntn"] * 8 + ["ntt"] * 8 + ["ttn", "nnt", "ntn", "ttt", "nnn"]  # t: train-only


def draw_train_only_movies(data_dir, seed):
    """Write posters.csv and posters of movies of which some are train-only.

    Returns:
        (movies, groups): a DataFrame of posters.csv, and the group of like posters of each movie.
    """
    rng = np.random.default_rng(seed)
    chains, alone = len(CHAINS), 150
    bodies, groups, kinds = [], [], []
    for number, chain in enumerate(CHAINS):
        first, last = draw_poster(2 * number), draw_poster(2 * number + 1)
        bodies += [encode_poster(Image.blend(first, last, share)) for share in SHARES]
        groups += [number] * 3
        kinds += list(chain)
    kinds += list(rng.choice(["n", "t"], alone, p=(0.7, 0.3)))
    for number in rng.integers(0, 120, alone):  # some twice; their posters are no images
        bodies.append(b"poster %d" % number)
        groups.append(chains + number)
    genres = ["Drama|Horror", "Comedy", "Drama"] * chains + draw_genres(alone, seed)
    is_train_only, is_alone = np.array(kinds) == "t", np.arange(len(kinds)) >= 3 * chains
    for row in np.flatnonzero(is_train_only & is_alone)[::2]:
        genres[row] = ["News", "Drama|News", "Foreign|Drama", ""][row % 4]
    for row in np.flatnonzero(~is_train_only & is_alone)[:9]:
        genres[row] = "News|Comedy"  # one movie too few for the vocabulary
    ids = [f"tt{number:07d}" for number in rng.permutation(len(kinds))]
    movies = pd.DataFrame({"id": ids, "title": "x", "genres": genres, "url": "x", "status": "ok"})
    movies = movies.assign(error="", train_only=np.where(is_train_only, "yes", ""))
    (data_dir / "posters").mkdir()
    for movie, body in zip(ids, bodies, strict=True):
        poster_path(data_dir, movie).write_bytes(body)
    return movies, np.array(groups)


@pytest.mark.parametrize("seed", range(2))
def test_train_only_movies_change_neither_the_split_nor_the_genres_nor_the_floors(
    tmp_path, capsys, seed
):
    movies, groups = draw_train_only_movies(tmp_path, seed)
    is_train_only = movies["train_only"] == "yes"
    settings = {"oversampling": "none", "seed": seed}
    write_csv(movies[~is_train_only].drop(columns="train_only"), tmp_path / "posters.csv")
    sampling.main(tmp_path, **settings)
    before, counts = read_samples(tmp_path), read_train_counts(tmp_path)
    about = json.loads((tmp_path / "sampling.json").read_text())
    capsys.readouterr()

    write_csv(movies, tmp_path / "posters.csv")
    sampling.main(tmp_path, **settings)
    samples, out = read_samples(tmp_path), capsys.readouterr().out
    is_added = samples["id"].isin(movies["id"][is_train_only])
    assert samples[~is_added].reset_index(drop=True).equals(before)
    assert read_train_counts(tmp_path) == counts
    after = json.loads((tmp_path / "sampling.json").read_text())
    assert after["duplicates"] == about["duplicates"]
    assert after["measures"]["train"] == about["measures"]["train"]
    for genre, row in about["genres"].items():
        for name in ("movies", "train", "val", "test"):
            assert after["genres"][genre][name] == row[name]
    assert list(after["genres"]) == list(about["genres"]) and "News" not in about["genres"]

    split = movies["id"].map(before.set_index("id")["split"])
    held_out = set(groups[split.isin(["val", "test"])])
    cells, vocabulary = movies["genres"], set(about["genres"])
    has_genre = np.array([bool(vocabulary & set(cell.split("|"))) for cell in cells])
    is_usable = has_genre & ~cells.str.contains("Foreign")
    is_leak = np.isin(groups, list(held_out))
    expected = movies[is_train_only & is_usable & ~is_leak]
    assert samples["id"][is_added].tolist() == sorted(expected["id"])
    assert set(samples["split"][is_added]) == {"train"} and samples["id"].is_monotonic_increasing
    assert set("|".join(samples["genres"]).split("|")) == set(about["genres"])
    left_out = (is_train_only & is_usable & is_leak).sum()
    assert f"left out {left_out} train-only movies with " in out and left_out > 0
    assert after["measures"]["train_only"]["movies"] == is_added.sum() > 0
    ends = split[: 3 * len(CHAINS)].to_numpy().reshape(-1, 3)[:8, [0, 2]]
    assert (ends[:, 0] != ends[:, 1]).any()  # although a train-only poster resembles both


@pytest.mark.parametrize("strategy", ["study", "ml-ros", "none"])
def test_train_only_movies_are_drawn_and_oversampled_like_others(tmp_path, strategy):
    movies, _ = draw_train_only_movies(tmp_path, 0)
    write_csv(movies, tmp_path / "posters.csv")
    sampling.main(tmp_path, sample_fraction=0.5, oversampling=strategy)
    first = contents(tmp_path)
    measures = json.loads(first["sampling.json"])["measures"]
    training = measures["train"]["movies"] + measures["train_only"]["movies"]
    assert measures["drawn"]["movies"] == round(0.5 * training)
    samples = read_samples(tmp_path)
    copies = samples["copies"][samples["id"].isin(movies["id"][movies["train_only"] == "yes"])]
    assert 0 < len(copies) < measures["train_only"]["movies"]
    assert (copies.max() > 1) == (strategy != "none")
    write_csv(movies.sample(frac=1, random_state=1), tmp_path / "posters.csv")
    sampling.main(tmp_path, sample_fraction=0.5, oversampling=strategy)
    assert contents(tmp_path) | {"posters.csv": b""} == first | {"posters.csv": b""}


STRATEGIES = ["study", "ml-ros", "study", "ml-ros"]
DEGENERATE = {
    "one genre": ["Drama"] * 40,
    "one movie per genre": [f"Genre {i}" for i in range(40)],
    "every movie alike": ["Comedy|Drama|War"] * 40,
    "a thousand genres": [f"Genre {i}|Genre {(7 * i + 1) % 1000}" for i in range(1000)],
}


@pytest.mark.parametrize(("name", "oversampling"), list(zip(DEGENERATE, STRATEGIES, strict=True)))
def test_degenerate_genres_give_valid_samples(tmp_path, name, oversampling):
    cells = DEGENERATE[name]
    write_posters(tmp_path, cells)
    sampling.main(tmp_path, min_genre_movies=1, oversampling=oversampling)
    samples = read_samples(tmp_path)
    assert samples["id"].is_unique and (samples["copies"] >= 1).all()
    held_out = samples[samples["split"] != "train"]
    assert (held_out["copies"] == 1).all()
    sizes = held_out["split"].value_counts().tolist()
    assert sizes == pytest.approx([0.15 * len(cells)] * 2, abs=2)
    json.loads((tmp_path / "sampling.json").read_text())


@pytest.mark.parametrize("oversampling", ["study", "ml-ros"])
def test_all_strategies_use_the_same_split_and_drawn_movies(tmp_path, oversampling):
    write_posters(tmp_path, draw_genres(400))
    sampling.main(tmp_path, oversampling="none", sample_fraction=0.5)
    drawn = read_samples(tmp_path).set_index("id")
    sampling.main(tmp_path, oversampling=oversampling, sample_fraction=0.5)
    samples = read_samples(tmp_path).set_index("id")
    assert samples.loc[drawn.index, "split"].equals(drawn["split"])
    assert (samples["copies"].sum() > drawn["copies"].sum()) and (drawn["copies"] == 1).all()
    assert (len(samples) > len(drawn)) == (oversampling == "study")

import numpy as np
import pandas as pd
import pytest

import sampling
from ledger import write_csv


def write_posters(data_dir, genres, status="ok"):
    """posters.csv with a movie for each genre cell."""
    rows = [
        {"id": f"tt{i:07d}", "title": f"Movie {i}", "genres": cell, "status": status}
        for i, cell in enumerate(genres)
    ]
    data_dir.mkdir(exist_ok=True)
    write_csv(pd.DataFrame(rows).assign(url="x", error=""), data_dir / "posters.csv")


def draw_genres(movies=1200, seed=0):
    """Genre cells as imbalanced as reality: the commonest about 30 times the rarest."""
    rng = np.random.default_rng(seed)
    shares = {"Drama": 0.5, "Comedy": 0.35, "Action": 0.15, "Horror": 0.1, "War": 0.03}
    shares["Western"] = 0.016
    cells = []
    for _ in range(movies):
        carried = [genre for genre, share in shares.items() if rng.random() < share]
        cells.append("|".join(carried or ["Drama"]))
    return cells


def counts(samples):
    """How often each genre stands in the sample, repeats included."""
    lists = samples.assign(genre=samples["genres"].str.split("|"))
    return lists.explode("genre").groupby("genre")["copies"].sum()


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    write_posters(data, draw_genres())
    sampling.main(data)
    return sampling.read_samples(data)


def test_splits_are_disjoint_and_have_their_sizes(samples):
    assert samples["id"].is_unique
    sizes = samples["split"].value_counts()
    assert sizes["val"] == pytest.approx(180, abs=6)
    assert sizes["test"] == pytest.approx(180, abs=6)
    assert set(samples["split"]) == {"train", "val", "test"}


def test_val_and_test_keep_the_natural_mix_and_each_movie_once(samples):
    natural = pd.Series("|".join(draw_genres()).split("|")).value_counts()
    for split in ("val", "test"):
        part = samples[samples["split"] == split]
        assert (part["copies"] == 1).all()
        for genre, count in counts(part).items():
            assert count == pytest.approx(0.15 * natural[genre], rel=0.1, abs=1)


def test_rare_genres_are_filled_up_and_repeats_stay_in_train(samples):
    train = samples[samples["split"] == "train"]
    assert train["copies"].between(1, sampling.MAX_COPIES).all()
    assert (train["copies"] > 1).any()
    after, natural = counts(train), pd.Series("|".join(draw_genres()).split("|")).value_counts()
    for genre in ("Horror", "War", "Western"):
        assert after[genre] / after["Drama"] > 1.5 * natural[genre] / natural["Drama"]


def test_unpicked_movies_come_before_repeats():
    labels = np.array([[1, 0]] * 40 + [[0, 1]] * 10, dtype=np.uint8)
    copies = np.array([1] * 40 + [1] * 2 + [0] * 8)
    rng = np.random.default_rng(0)
    few = sampling.oversample_study(labels, copies, fill=0.25, max_copies=3, rng=rng)
    assert few.max() == 1 and few @ labels[:, 1] == 10  # the pool was enough
    many = sampling.oversample_study(labels, copies, fill=0.5, max_copies=3, rng=rng)
    assert many @ labels[:, 1] == 20 and set(many[40:]) <= {1, 2, 3}
    capped = sampling.oversample_study(labels, copies, fill=1, max_copies=2, rng=rng)
    assert capped @ labels[:, 1] == 20 and (capped >= copies).all()


def test_movies_without_common_genres_are_preferred():
    labels = np.array([[1, 0]] * 20 + [[0, 1]] * 3 + [[1, 1]] * 5, dtype=np.uint8)
    copies = np.array([1] * 20 + [0] * 8)
    rng = np.random.default_rng(0)
    after = sampling.oversample_study(labels, copies, fill=0.2, max_copies=1, rng=rng)
    assert list(after[20:23]) == [1, 1, 1] and after[23:].sum() == 1


def test_order_of_the_rows_changes_nothing_and_the_seed_does(tmp_path):
    write_posters(tmp_path, draw_genres(300))
    sampling.main(tmp_path)
    first = (tmp_path / "samples.csv").read_bytes()
    posters = pd.read_csv(tmp_path / "posters.csv", dtype=str, keep_default_na=False)
    write_csv(posters.sample(frac=1, random_state=1), tmp_path / "posters.csv")
    sampling.main(tmp_path)
    assert (tmp_path / "samples.csv").read_bytes() == first
    sampling.main(tmp_path, seed=1)
    assert (tmp_path / "samples.csv").read_bytes() != first


def test_what_is_dropped_and_said(tmp_path, capsys):
    cells = ["Drama"] * 30 + ["Comedy|Drama"] * 20 + ["Drama|TV Movie"] * 3 + [""] * 2
    cells += ["Foreign|Comedy"] + ["News"] * 4 + ["Comedy|News"] * 2
    write_posters(tmp_path, cells)
    sampling.main(tmp_path, sample_fraction=1, oversampling="none")
    samples = sampling.read_samples(tmp_path)
    assert len(samples) == 52 and (samples["copies"] == 1).all()
    assert set("|".join(samples["genres"]).split("|")) == {"Comedy", "Drama"}
    out = capsys.readouterr().out
    for said in (
        "dropped 4 movies marked TV Movie or Foreign",
        "dropped 2 movies without a genre",
        "left out: News (6)",
        "dropped 4 movies that carry only such genres",
        "next: python preprocessing.py",
    ):
        assert said in out


def test_without_posters_nothing_is_sampled(tmp_path):
    write_posters(tmp_path, ["Drama"] * 40, status="failed")
    with pytest.raises(SystemExit, match="no poster to sample. Run: python database.py"):
        sampling.main(tmp_path)
    write_posters(tmp_path, ["Drama"] * 9)
    with pytest.raises(SystemExit, match="Only 0 movies are left.*python sampling.py"):
        sampling.main(tmp_path)
    assert not (tmp_path / "samples.csv").exists()


def test_missing_posters_csv_names_the_command(tmp_path):
    with pytest.raises(SystemExit, match="posters.csv is missing. Run: python database.py"):
        sampling.main(tmp_path)


@pytest.mark.parametrize("genres", [["Drama"] * 20, ["Drama", "Comedy"] * 10])
def test_one_or_two_genres_are_enough(tmp_path, genres):
    write_posters(tmp_path, genres)
    sampling.main(tmp_path)
    assert set(sampling.read_samples(tmp_path)["split"]) == {"train", "val", "test"}


@pytest.mark.parametrize(
    "setting",
    [
        {"excluded_genres": "Foreign"},
        {"min_genre_movies": 0},
        {"sample_fraction": 0},
        {"sample_fraction": 1.5},
        {"oversampling": "smote"},
        {"fill": 2},
        {"max_copies": 0},
        {"val_share": 0},
        {"test_share": 0.9},
    ],
    ids=str,
)
def test_bad_settings(tmp_path, setting):
    name, value = next(iter(setting.items()))
    with pytest.raises(ValueError, match=f"{name}.* got .*{value}"):
        sampling.main(tmp_path, **setting)

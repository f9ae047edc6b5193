import hashlib
import json

from postergenres.dataset.imbalance import summarize_samples
from postergenres.dataset.samples import (
    read_downloaded_movies,
    read_samples,
    read_titles,
    read_train_counts,
    select_samples,
    write_samples,
)
from postergenres.files import find_damage, write_csv

import numpy as np
import pandas as pd
import pytest

LABELS = np.array([[1, 0], [1, 0], [0, 1], [1, 1], [1, 1]], dtype=np.uint8)
MOVIES = pd.DataFrame(
    {
        "id": ["tt1", "tt2", "tt3", "tt4", "tt5"],
        "title": ["One", "Two", "NA", "Four", "Five"],
        "genres": ["A", "A", "B", "A|B", "A|B"],
        "url": "x",
        "split": ["train", "val", "train", "train", "test"],
        "train_only": False,
    }
)
DRAWN, COPIES = np.array([1, 0, 1]), np.array([1, 0, 3])


def write(data_dir, train_only=()):
    """Write the sample of the movies above; return its summary."""
    movies = MOVIES.assign(train_only=MOVIES["id"].isin(train_only))
    summary = summarize_samples(movies, LABELS, ["A", "B"], drawn=DRAWN, copies=COPIES)
    samples, settings = select_samples(movies, COPIES), {"seed": 0, "fill": ((10, 0.5),)}
    write_samples(samples, summary, data_dir, settings=settings, duplicates=[["tt1", "tt2"]])


def test_movies_without_copies_are_left_out_and_val_and_test_have_one_copy():
    samples = select_samples(MOVIES, COPIES)
    assert samples.columns.tolist() == ["id", "title", "genres", "split", "copies"]
    copies = dict(zip(samples["id"], samples["copies"], strict=True))
    assert copies == {"tt1": 1, "tt2": 1, "tt4": 3, "tt5": 1}


def test_written_samples_are_read_back(tmp_path, capsys):
    write(tmp_path)
    samples = read_samples(tmp_path)
    assert samples.equals(select_samples(MOVIES, COPIES).reset_index(drop=True))
    assert read_titles(tmp_path) == {"tt1": "One", "tt2": "Two", "tt4": "Four", "tt5": "Five"}
    assert read_train_counts(tmp_path) == {"movies": 3, "genres": {"A": 2, "B": 2}}
    assert find_damage(tmp_path, ["samples.csv", "sampling.json"]) is None
    assert capsys.readouterr().out == (
        f"wrote {tmp_path / 'samples.csv'} (4 movies)\n"
        f"counts and measures: {tmp_path / 'sampling.json'}, {tmp_path / 'sampling.png'}\n"
    )
    about = json.loads((tmp_path / "sampling.json").read_text())
    assert list(about) == ["settings", "genres", "measures", "duplicates", "samples_sha256"]
    assert about["settings"] == {"seed": 0, "fill": [[10, 0.5]]}
    assert about["duplicates"] == [["tt1", "tt2"]]
    content = (tmp_path / "samples.csv").read_bytes()
    assert about["samples_sha256"] == hashlib.sha256(content).hexdigest()


def test_an_infinite_ratio_is_null_in_sampling_json(tmp_path):
    labels = np.array([[1, 0]] * 5, dtype=np.uint8)
    summary = summarize_samples(MOVIES, labels, ["A", "B"], drawn=DRAWN, copies=COPIES)
    write_samples(select_samples(MOVIES, COPIES), summary, tmp_path, settings={}, duplicates=[])
    about = json.loads((tmp_path / "sampling.json").read_text())
    assert (
        about["genres"]["B"]["IRLbl sample"] is None and about["measures"]["sample"]["CVIR"] is None
    )


def test_the_floors_are_those_of_the_movies_that_are_not_train_only(tmp_path):
    write(tmp_path, train_only=["tt3"])
    assert read_train_counts(tmp_path) == {"movies": 2, "genres": {"A": 2, "B": 1}}


def test_samples_that_a_person_changed_are_used_with_a_line(tmp_path, capsys):
    write(tmp_path)
    with open(tmp_path / "samples.csv", "a", encoding="utf-8") as file:
        file.write("tt6,Six,A,train,1\n")
    capsys.readouterr()
    assert len(read_samples(tmp_path)) == 5 and read_train_counts(tmp_path) is None
    assert capsys.readouterr().out == (
        f"{tmp_path / 'samples.csv'} was changed after sampling.py wrote it: the floors are "
        "computed from its training rows\n"
    )


@pytest.mark.parametrize("harm", ["flip", "delete", "never written"])
def test_the_counts_of_a_damaged_sampling_json_are_not_used(tmp_path, capsys, harm):
    if harm != "never written":
        write(tmp_path)
    if harm == "flip":
        content = (tmp_path / "sampling.json").read_text()
        (tmp_path / "sampling.json").write_text(content.replace('"train": 2', '"train": 1'))
    if harm == "delete":
        (tmp_path / "sampling.json").unlink()
    capsys.readouterr()
    assert read_train_counts(tmp_path) is None
    line = capsys.readouterr().out
    assert line.startswith(f"note: {tmp_path}") and line.count("\n") == 1
    assert line.endswith(
        "training rows of samples.csv. To write it again, run: python sampling.py --data-dir "
        f"{tmp_path}\n"
    )


ROW = "tt1,One,A|B,train,2"
FAULTS = {
    "": "is damaged: No columns to parse from file",
    "id,title,genres,split,copies": "has no rows",
    "id;title;genres;split;copies\ntt1;One;A;train;1": "has no column id, genres, split, copies",
    f"id,title,genres,split\n{ROW[:-2]}": "has no column copies",
    ROW.replace("train", "Train"): "has an unknown split: 'Train'",
    **{
        f"{ROW[:-1]}{copies}": f"has copies that are no whole number above 0: '{copies}'"
        for copies in ("-2", "0", "1.5", "", "1e3", "1" + "0" * 30)
    },
    f"{ROW}\n{ROW.replace('train', 'test')}": "has an id for the second time: 'tt1'",
    **{
        ROW.replace("A|B", genres): f"has an empty genre: '{genres}'"
        for genres in ("", "A||B", "|A", "A|")
    },
    ROW.replace("tt1", "../x"): "has an id that cannot name a file: '../x'",
    ROW.replace("tt1", ""): "has an id that cannot name a file: ''",
    '"' + ROW: "is damaged: Error tokenizing data",
}


@pytest.mark.parametrize("content", FAULTS)
def test_samples_that_step_2_never_writes_are_refused_in_one_line(tmp_path, content):
    header = "" if content[:2] in ("", "id") else "id,title,genres,split,copies\n"
    (tmp_path / "samples.csv").write_text(f"{header}{content}\n" if content else "")
    with pytest.raises(SystemExit) as end:
        read_samples(tmp_path)
    line = end.value.code
    assert line.startswith(f"{tmp_path / 'samples.csv'} {FAULTS[content]}") and "\n" not in line
    assert line.endswith(". To write it again, run: python sampling.py")


def test_samples_that_are_not_utf_8_are_refused(tmp_path):
    (tmp_path / "samples.csv").write_bytes(b"id,title\n1,Am\xe9lie\n")
    with pytest.raises(SystemExit, match="damaged: .*utf-8.* To write it again, run: python samp"):
        read_samples(tmp_path)


def write_manifest(data_dir, statuses, train_only=None):
    rows = pd.DataFrame({"id": [f"tt{i}" for i in range(len(statuses))], "status": statuses})
    rows = rows.assign(title="x", genres="Drama", url="x", error="")
    if train_only:
        rows["train_only"] = train_only
    write_csv(rows.iloc[::-1], data_dir / "posters.csv")


def test_only_movies_with_a_poster_are_read_sorted_by_id(tmp_path, capsys):
    write_manifest(tmp_path, ["ok"] * 12 + ["failed", "gone"], ["", "yes"] * 7)
    movies = read_downloaded_movies(tmp_path)
    expected = "tt0 tt1 tt10 tt11 tt2 tt3 tt4 tt5 tt6 tt7 tt8 tt9".split()
    assert movies["id"].tolist() == expected and movies.index.tolist() == list(range(12))
    assert movies["train_only"].tolist() == [movie[-1] in "13579" for movie in expected]
    assert capsys.readouterr().out.splitlines() == [
        "7 movies, 6 with a poster",
        "7 train-only movies, 6 with a poster",
        f"1 posters failed. To retry, run: python database.py --data-dir {tmp_path}",
    ]
    write_manifest(tmp_path, ["ok", "ok", "gone"])
    assert not read_downloaded_movies(tmp_path)["train_only"].any()
    assert capsys.readouterr().out == "3 movies, 2 with a poster\n"


def test_posters_of_train_only_movies_do_not_replace_those_to_split(tmp_path):
    write_manifest(tmp_path, ["gone"] * 20 + ["ok"] * 20, [""] * 20 + ["yes"] * 20)
    with pytest.raises(SystemExit, match="^There is no poster to sample; .*METADATA_CSV"):
        read_downloaded_movies(tmp_path)


@pytest.mark.parametrize(
    ("ok", "gone", "failed", "line"),
    [
        (0, 0, 12, "There is no poster to sample. Run: python database.py"),
        (9, 5, 6, "Only 9 of 20 movies have a poster, too few. Run: python database.py"),
        (
            *(0, 12, 1),
            "There is no poster to sample; posters.csv has the reasons. Correct POSTER_BASE or "
            "METADATA_CSV in database.py, then run: python database.py",
        ),
        (
            *(9, 1, 0),
            "Only 9 of 10 movies have a poster, too few; posters.csv has the reasons. Correct "
            "POSTER_BASE or METADATA_CSV in database.py, then run: python database.py",
        ),
    ],
)
def test_too_few_posters_are_one_line_with_the_reason(tmp_path, ok, gone, failed, line):
    write_manifest(tmp_path, ["ok"] * ok + ["gone"] * gone + ["failed"] * failed)
    with pytest.raises(SystemExit) as end:
        read_downloaded_movies(tmp_path)
    assert end.value.code == line

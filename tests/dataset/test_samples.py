import hashlib
import json

from postergenres.dataset import samples
from postergenres.dataset.imbalance import summarize_samples
from postergenres.dataset.samples import (
    print_sampling_summary,
    read_downloaded_movies,
    read_samples,
    read_train_counts,
    select_samples,
    write_samples,
)
from postergenres.old_files import write_csv

import numpy as np
import pandas as pd
import pytest
from conftest import contents

LABELS = np.array([[1, 0], [1, 0], [0, 1], [1, 1], [1, 1]], dtype=np.uint8)
MOVIES = pd.DataFrame(
    {
        "id": ["tt1", "tt2", "tt3", "tt4", "tt5"],
        "title": ["One", "Two", "NA", "Four", "Five"],
        "genres": ["A", "A", "B", "A|B", "A|B"],
        "url": "x",
        "split": ["train", "val", "train", "train", "test"],
    }
)
TRAIN_ONLY = pd.Series(np.zeros(5, dtype=bool))  # no movie
DRAWN, COPIES = np.array([1, 0, 1]), np.array([1, 0, 3])
SETTINGS = {"data_dir": "data", "seed": 0, "fill": ((10, 0.5),), "cluster": None}


def write(data_dir):
    """Write the sample of the movies above."""
    counts, measures = summarize_samples(
        LABELS, MOVIES["split"], TRAIN_ONLY, DRAWN, COPIES, ["A", "B"]
    )
    samples = select_samples(MOVIES, COPIES)
    write_samples(samples, LABELS, counts, measures, [["tt1", "tt2"]], SETTINGS, data_dir)


def test_movies_without_copies_are_left_out_and_val_and_test_have_one_copy():
    samples = select_samples(MOVIES, COPIES)
    assert samples.columns.tolist() == ["id", "title", "genres", "split", "copies"]
    assert dict(zip(samples["id"], samples["copies"], strict=True)) == {
        "tt1": 1,
        "tt2": 1,
        "tt4": 3,
        "tt5": 1,
    }


def test_written_samples_are_read_back(tmp_path, capsys):
    write(tmp_path)
    samples = read_samples(tmp_path)
    assert samples.equals(select_samples(MOVIES, COPIES).reset_index(drop=True))
    assert read_train_counts(tmp_path) == {"movies": 3, "genres": {"A": 2, "B": 2}}
    assert capsys.readouterr().out.endswith(
        "(4 movies)\n"
        + (
            f"counts and measures: {tmp_path / 'sampling.json'}, {tmp_path / 'sampling.png'}\n"
            "next: python preprocessing.py\n"
        )
    )


CHECKSUMS = ["samples_sha256", "content_sha256"]


def test_sampling_json_holds_what_made_the_sample(tmp_path):
    write(tmp_path)
    about = json.loads((tmp_path / "sampling.json").read_text())
    assert list(about) == ["settings", "genres", "measures", "duplicates", *CHECKSUMS]
    assert about["settings"] == {"seed": 0, "fill": [[10, 0.5]]}
    assert about["duplicates"] == [["tt1", "tt2"]]
    content = (tmp_path / "samples.csv").read_bytes()
    assert about["samples_sha256"] == hashlib.sha256(content).hexdigest()


def test_an_infinite_ratio_is_null_in_sampling_json(tmp_path):
    counts = pd.DataFrame({"drawn": [2, 0], "sample": [2, 0], "IRLbl": [1, np.inf]}, ["A", "B"])
    write_samples(select_samples(MOVIES, COPIES), LABELS, counts, counts, [], SETTINGS, tmp_path)
    assert json.loads((tmp_path / "sampling.json").read_text())["genres"]["B"]["IRLbl"] is None


def test_the_message_on_missing_samples_names_the_command(tmp_path):
    with pytest.raises(SystemExit, match="samples.csv is missing. Run: python sampling.py"):
        read_samples(tmp_path)


ROW = "tt1,One,A|B,train,2"
FAULTS = {
    "": "is damaged: No columns to parse from file",
    "id,title,genres,split,copies": "has no rows",
    "id;title;genres;split;copies\ntt1;One;A;train;1": "has no column id, genres, split, copies",
    f"id,title,genres,split\n{ROW[:-2]}": "has no column copies",
    ROW.replace("train", "Train"): "has an unknown split: 'Train'",
    **{
        f"{ROW[:-1]}{copies}": f"has copies that are no whole number above 0: '{copies}'"
        for copies in ("x", "-2", "0", "1.5", "", "1e3", "nan", "1" + "0" * 30)
    },
    f"{ROW}\n{ROW.replace('train', 'test')}": "has an id for the second time: 'tt1'",
    **{
        ROW.replace("A|B", genres): f"has an empty genre: '{genres}'"
        for genres in ("", "|", "A||B", "|A", "A|")
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
    text = f"id,title,genres,split,copies\n{ROW.replace('One', 'Amélie')}\n"
    (tmp_path / "samples.csv").write_text(text, encoding="cp1252")
    with pytest.raises(
        SystemExit, match="is not UTF-8. To write it again, run: python sampling.py"
    ):
        read_samples(tmp_path)


def test_the_old_sample_is_kept_until_the_new_one_is_whole(tmp_path, monkeypatch):
    write(tmp_path)
    before = contents(tmp_path)

    def fill_disk(*arguments):
        raise OSError(28, "No space left on device")

    for name in ("write_json", "save_sampling_plot", "write_csv"):
        with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
            patch.setattr(samples, name, fill_disk)
            write(tmp_path)
        assert contents(tmp_path) == before


def test_a_file_in_the_way_leaves_the_old_sample(tmp_path):
    write(tmp_path)
    old = (tmp_path / "samples.csv").read_bytes()
    (tmp_path / "sampling.json").unlink()
    (tmp_path / "sampling.json").mkdir()
    with pytest.raises(OSError, match="sampling.json"):
        write(tmp_path)
    assert (tmp_path / "samples.csv").read_bytes() == old
    assert not list(tmp_path.glob("*.part*"))


def test_samples_that_were_changed_by_hand_are_reported(tmp_path, capsys):
    write(tmp_path)
    with open(tmp_path / "samples.csv", "a", encoding="utf-8") as file:
        file.write("tt6,Six,A,train,1\n")
    capsys.readouterr()
    assert read_train_counts(tmp_path) is None
    assert capsys.readouterr().out == (
        f"{tmp_path / 'samples.csv'} was changed after sampling.py wrote it: the floors are "
        "computed from its training rows\n"
    )


def test_train_counts_of_other_samples_are_not_returned(tmp_path):
    assert read_train_counts(tmp_path) is None
    write(tmp_path)
    with open(tmp_path / "samples.csv", "a", encoding="utf-8") as file:
        file.write("tt6,Six,A,train,1\n")
    assert read_train_counts(tmp_path) is None


def test_only_movies_with_a_poster_are_read_sorted_by_id(tmp_path, capsys):
    posters = pd.DataFrame({"id": ["tt3", "tt1", "tt2"], "status": ["ok", "ok", "failed"]})
    posters = posters.assign(title="x", genres="Drama", url="x", error="")
    write_csv(posters, tmp_path / "posters.csv")
    movies, train_only = read_downloaded_movies(tmp_path)
    assert movies["id"].tolist() == ["tt1", "tt3"] and train_only.empty
    assert capsys.readouterr().out.splitlines() == [
        "3 movies, 2 with a poster",
        "1 posters failed. To retry, run: python database.py",
    ]


def test_train_only_movies_are_read_apart(tmp_path, capsys):
    statuses = ["ok"] * 12 + ["failed", "gone"]
    posters = pd.DataFrame({"id": [f"tt{i}" for i in range(14)], "status": statuses})
    posters = posters.assign(title="x", genres="Drama", url="x", error="")
    write_csv(posters.assign(train_only=["", "yes"] * 7), tmp_path / "posters.csv")
    movies, train_only = read_downloaded_movies(tmp_path)
    assert movies["id"].tolist() == ["tt0", "tt10", "tt2", "tt4", "tt6", "tt8"]
    assert train_only["id"].tolist() == ["tt1", "tt11", "tt3", "tt5", "tt7", "tt9"]
    assert capsys.readouterr().out.splitlines() == [
        "7 movies, 6 with a poster",
        "7 train-only movies, 6 with a poster",
        "1 posters failed. To retry, run: python database.py",
    ]


def test_posters_of_train_only_movies_do_not_replace_those_to_split(tmp_path):
    rows = pd.DataFrame({"id": range(40), "status": ["gone"] * 20 + ["ok"] * 20, "title": "x"})
    rows = rows.assign(genres="Drama", url="x", error="", train_only=[""] * 20 + ["yes"] * 20)
    write_csv(rows, tmp_path / "posters.csv")
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
    statuses = ["ok"] * ok + ["gone"] * gone + ["failed"] * failed
    rows = pd.DataFrame({"id": range(len(statuses)), "status": statuses, "title": "x"})
    write_csv(rows.assign(genres="Drama", url="x", error=""), tmp_path / "posters.csv")
    with pytest.raises(SystemExit) as end:
        read_downloaded_movies(tmp_path)
    assert end.value.code == line


def test_the_summary_counts_added_movies_and_repeats(capsys):
    drawn, copies = np.array([1, 0, 1]), np.array([3, 1, 1])
    arguments = drawn, copies, ["A", "B"]
    tables = summarize_samples(LABELS, MOVIES["split"], TRAIN_ONLY, *arguments)
    print_sampling_summary(*tables, drawn, copies)
    out = capsys.readouterr().out
    assert "IRLbl sample" in out and "MeanIR" in out and "SCUMBLE" in out
    assert "train-only" not in out and "train_only" not in out
    assert out.endswith("oversampling added 1 movies that were not drawn, and 2 repeats\n")


def test_the_summary_explains_the_column_of_train_only_movies(capsys):
    train_only = MOVIES["id"] == "tt3"
    arguments = DRAWN, COPIES, ["A", "B"]
    tables = summarize_samples(LABELS, MOVIES["split"], train_only, *arguments)
    print_sampling_summary(*tables, DRAWN, COPIES)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "train-only movies count in train_only, drawn and sample, not in movies and train"
    )
    assert lines[2].split()[:4] == ["movies", "train", "train_only", "drawn"]
    assert [line.split()[:2] for line in lines[-5:-1]] == [
        ["train", "2"],
        ["train_only", "1"],
        ["drawn", "2"],
        ["sample", "4"],
    ]


def test_the_floors_are_those_of_the_movies_that_are_not_train_only(tmp_path):
    train_only = MOVIES["id"] == "tt3"
    arguments = DRAWN, COPIES, ["A", "B"]
    tables = summarize_samples(LABELS, MOVIES["split"], train_only, *arguments)
    write_samples(select_samples(MOVIES, COPIES), LABELS, *tables, [], SETTINGS, tmp_path)
    assert read_train_counts(tmp_path) == {"movies": 2, "genres": {"A": 2, "B": 1}}

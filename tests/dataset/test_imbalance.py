from postergenres.dataset.imbalance import (
    count_genres,
    imbalance_ratios,
    measure_imbalance,
    summarize_samples,
)

import numpy as np
import pandas as pd
import pytest

#                   A  B  C
LABELS = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=np.uint8)
ONCE = np.ones(5, dtype=int)


def test_measures_equal_those_calculated_by_hand():
    counts = count_genres(LABELS, ONCE)
    assert counts.tolist() == [4, 2, 1]
    assert imbalance_ratios(counts).tolist() == [1, 2, 4]
    measures = measure_imbalance(LABELS, ONCE)
    assert measures["movies"] == 5
    assert measures["MeanIR"] == pytest.approx(7 / 3)
    assert measures["CVIR"] == pytest.approx(np.sqrt(42 / 18) / (7 / 3))
    assert measures["cardinality"] == pytest.approx(7 / 5)
    assert measures["density"] == pytest.approx(7 / 15)
    # Three movies of one genre: 0. A and B: 1 - sqrt(1 x 2) / 1.5. A and C: 1 - sqrt(1 x 4) / 2.5.
    assert measures["SCUMBLE"] == pytest.approx((1 - np.sqrt(2) / 1.5 + 0.2) / 5)


def test_each_copy_counts_as_a_movie_and_movies_without_copies_do_not_count():
    copies = np.array([0, 1, 3, 1, 2])
    assert measure_imbalance(LABELS, copies) == pytest.approx(
        measure_imbalance(LABELS.repeat(copies, axis=0), np.ones(copies.sum(), dtype=int))
    )


def test_a_genre_without_movies_is_infinitely_rare():
    copies = np.array([1, 1, 1, 0, 1])
    assert imbalance_ratios(count_genres(LABELS, copies)).tolist() == [1, 1.5, np.inf]
    measures = measure_imbalance(LABELS, copies)
    assert measures["MeanIR"] == np.inf and np.isnan(measures["CVIR"])
    assert 0 < measures["SCUMBLE"] < 1


def test_balanced_movies_have_the_lowest_measures():
    balanced = measure_imbalance(np.eye(4, dtype=np.uint8), np.ones(4, dtype=int))
    assert (balanced["MeanIR"], balanced["CVIR"], balanced["SCUMBLE"]) == (1, 0, 0)
    one_genre = measure_imbalance(np.ones((3, 1), dtype=np.uint8), np.ones(3, dtype=int))
    assert (one_genre["MeanIR"], one_genre["CVIR"], one_genre["SCUMBLE"]) == (1, 0, 0)


@pytest.mark.parametrize("copies", [np.zeros(2, dtype=int), np.ones(2, dtype=int)])
def test_samples_that_cannot_be_measured_are_refused(copies):
    with pytest.raises(ValueError, match="at least one genre"):
        measure_imbalance(np.array([[1, 0], [0, 0]], dtype=np.uint8), copies)


DRAWN, COPIES = np.array([1, 0, 1, 1, 0]), np.array([1, 0, 1, 3, 1])


def summarize(train_only):
    labels = np.vstack([LABELS, LABELS[:2], LABELS[3:]])
    split = ["train"] * 5 + ["val"] * 2 + ["test"] * 2
    movies = pd.DataFrame({"split": split, "train_only": train_only})
    return summarize_samples(movies, labels, ["A", "B", "C"], drawn=DRAWN, copies=COPIES)


def test_the_summary_counts_each_split_and_sample():
    counts, measures = summarize(train_only=[False] * 9)
    assert counts.loc["A"].to_dict() == {
        "movies": 7,
        "train": 4,
        "drawn": 3,
        "sample": 5,
        "IRLbl drawn": 1,
        "IRLbl sample": 1,
        "val": 2,
        "test": 1,
    }
    assert counts["sample"].tolist() == [5, 2, 3]
    assert counts["IRLbl drawn"].tolist() == [1, 3, 3]
    assert measures.index.tolist() == ["train", "drawn", "sample"]
    assert measures.loc["sample"].to_dict() == pytest.approx(measure_imbalance(LABELS, COPIES))


def test_train_only_movies_are_counted_apart_from_the_natural_mix():
    counts, measures = summarize(train_only=[False, True, False, True, False] + [False] * 4)
    assert counts.columns.tolist() == (
        "movies train train_only drawn sample".split()
        + ["IRLbl drawn", "IRLbl sample", "val", "test"]
    )
    assert counts[["train", "train_only"]].to_numpy().tolist() == [[2, 2], [2, 0], [0, 1]]
    assert (counts["movies"] == counts["train"] + counts["val"] + counts["test"]).all()
    assert counts["sample"].tolist() == [5, 2, 3]
    assert measures["movies"].to_dict() == {"train": 3, "train_only": 2, "drawn": 3, "sample": 6}

from postergenres.scores.predicted_genres import (
    join_genres,
    join_predicted,
    rank_genres,
    read_thresholds,
)

import numpy as np

GENRES = ["Action", "Comedy", "Drama"]


def test_the_thresholds_are_in_the_order_of_the_genres():
    about = {
        "genres": GENRES,
        "thresholds": {"Drama": 0.3, "Action": 0.1, "Comedy": 0.2},
        "shared_thresholds": {"micro": 0.4, "samples": 0.5},
    }
    thresholds = read_thresholds(about)
    assert thresholds.genres.tolist() == [0.1, 0.2, 0.3]
    assert (thresholds.micro, thresholds.samples) == (0.4, 0.5)


def test_genres_are_joined_by_a_bar():
    labels = np.array([[True, False, True], [False, False, False]])
    assert join_genres(labels, GENRES) == ["Action|Drama", ""]


def test_genres_are_ranked_by_probability_and_ties_keep_their_order():
    poster = np.array([0.2, 0.7, 0.2]), np.array([True, True, False]), GENRES
    predicted = [("Comedy", 0.7, True), ("Action", 0.2, True)]
    assert rank_genres(*poster, top=3) == [*predicted, ("Drama", 0.2, False)]
    assert rank_genres(*poster, top=1) == predicted  # never less than the predicted genres


def test_predicted_genres_are_joined_the_most_probable_first():
    probabilities = np.array([[0.2, 0.1, 0.7], [np.nan] * 3])
    is_predicted = np.array([[True, False, True], [False] * 3])
    assert join_predicted(probabilities, is_predicted, GENRES) == ["Drama|Action", ""]

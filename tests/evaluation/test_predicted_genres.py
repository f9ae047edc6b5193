import numpy as np

from postergenres.evaluation.predicted_genres import join_genres, rank_genres, read_thresholds

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
    ranking = rank_genres(np.array([0.2, 0.7, 0.2]), GENRES, top=3)
    assert ranking == [("Comedy", 0.7), ("Action", 0.2), ("Drama", 0.2)]
    assert rank_genres(np.array([0.2, 0.7, 0.2]), GENRES, top=1) == [("Comedy", 0.7)]

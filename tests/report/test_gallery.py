import base64
import io

from postergenres.report.gallery import (
    choose_posters,
    encode_thumbnail,
    list_cards,
    measure_gains,
    sort_kinds,
)

import numpy as np
import pytest
from conftest import draw_predictions
from PIL import Image


def test_right_mistaken_and_missed_genres_are_chosen_by_cross_entropy():
    labels = np.array([[1], [1], [1], [0], [0], [0]])
    probabilities = np.array([[0.9], [0.7], [0.1], [0.6], [0.8], [0.2]])
    kinds = sort_kinds(labels, probabilities > 0.5)
    assert {kind: list(np.flatnonzero(is_kind)) for kind, is_kind in kinds.items()} == {
        "right": [0, 1],
        "mistaken": [3, 4],
        "missed": [2],
    }
    gains = measure_gains(labels, probabilities, np.array([0.5]))
    assert gains[0] == pytest.approx(np.log(0.9 / 0.5))
    assert gains[4] == pytest.approx(np.log(0.2 / 0.5))
    # The best, the worst, the most probable mistake, and the next ones only if there is room.
    assert choose_posters(kinds, gains, drawn=np.array([5]), most=2) == [5, 0]
    assert sorted(choose_posters(kinds, gains, drawn=np.array([5]))) == [0, 1, 2, 3, 4, 5]


def test_each_genre_keeps_its_most_extreme_posters_if_they_are_too_many():
    """Of seven genres and 24 kinds of posters with three each, of which one each has room."""
    labels, probabilities, _ = draw_predictions(movies=400)
    kinds = sort_kinds(labels, probabilities > 0.2)
    gains = measure_gains(labels, probabilities, labels.mean(axis=0))
    chosen = choose_posters(kinds, gains, drawn=np.arange(24), most=24 + 12 + 21)
    assert len(chosen) == len(set(chosen)) <= 24 + 12 + 21
    for kind, is_kind in kinds.items():
        for genre in np.flatnonzero(is_kind.any(axis=0)):
            of_kind = gains[is_kind[:, genre], genre]
            extreme = of_kind.max() if kind == "right" else of_kind.min()
            shown = [movie for movie in chosen if is_kind[movie, genre]]
            assert extreme in gains[shown, genre]


def test_cards_have_the_genres_of_a_movie_and_those_predicted_for_it():
    labels = np.array([[1, 0, 1], [0, 1, 0]])
    probabilities = np.array([[0.9, 0.6, 0.2], [0.1, 0.7, 0.3]])
    cards = list_cards(
        labels, probabilities, probabilities > 0.5, prior=np.full(3, 0.5), genres=["A", "B", "C"]
    )
    assert list(cards) == [1, 0]  # the best first
    rows = [(row["genre"], row["kind"]) for row in cards[0]["rows"]]
    assert rows == [("A", "right"), ("B", "mistaken"), ("C", "missed")]
    assert cards[0]["is_drawn"] and cards[1]["gain"] > 0


@pytest.mark.parametrize("size, expected", [((324, 216), (150, 100)), ((48, 32), (48, 32))])
def test_thumbnails_are_small(size, expected):
    kind, _, content = encode_thumbnail(np.full((*size, 3), 99, np.uint8)).partition(",")
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert (image.height, image.width) == expected and kind == "data:image/webp;base64"

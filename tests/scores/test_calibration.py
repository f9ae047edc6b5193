from postergenres.scores.calibration import SHRINKAGE, weigh_by_genre

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import log_loss


def draw_logits(movies, shares=(0.3, 0.1), seed=0):
    """Labels, and calibrated logits that know something of them."""
    rng = np.random.default_rng(seed)
    logits = logit(shares) + rng.normal(0, 1.5, (movies, len(shares)))
    return (rng.random(logits.shape) < expit(logits)).astype(np.uint8), logits


def test_a_scale_and_an_offset_are_found_again_on_many_movies():
    labels, logits = draw_logits(200_000)
    distorted = logits * [2.0, 0.5] - [1.0, -0.4]
    (scales,), offsets = weigh_by_genre(labels, [distorted], [1.0])
    assert scales == pytest.approx([0.5, 2.0], rel=0.03)
    assert offsets == pytest.approx([0.5, -0.8], abs=0.06)


def test_two_inputs_get_their_weights():
    labels, logits = draw_logits(200_000)
    noise = np.random.default_rng(1).normal(size=logits.shape)
    weights, offsets = weigh_by_genre(labels, [2 * (logits - noise), noise], [0.6, 0.8])
    assert weights == pytest.approx(np.array([[0.5, 0.5], [1.0, 1.0]]), abs=0.02)
    assert offsets == pytest.approx([0, 0], abs=0.03)


def test_the_fewer_movies_the_closer_are_the_weights_to_the_common_ones():
    distances = []
    for movies in (20, 2_000, 200_000):
        labels, logits = draw_logits(movies)
        (scales,), _ = weigh_by_genre(labels, [2 * logits], [1.0])
        distances.append(1 - scales[1])
    assert abs(distances[0]) < 0.05 < distances[1] < distances[2] < 0.51
    assert distances[2] == pytest.approx(0.5, abs=0.02)


def test_a_genre_without_movies_is_moved_down_and_stays_finite():
    labels, logits = draw_logits(300)
    labels[:, 1] = 0
    (scales,), offsets = weigh_by_genre(labels, [logits], [1.0])
    calibrated = expit(logits * scales + offsets)
    assert np.isfinite(offsets).all() and np.isfinite(scales).all()
    assert 0.001 < calibrated[:, 1].mean() < 0.7 * expit(logits[:, 1]).mean()


def test_it_is_the_minimum_of_the_cross_entropy_and_the_penalty():
    labels, logits = draw_logits(500, shares=(0.2,))
    mean = logits.mean()

    def penalized(scale, offset):
        changed = expit(scale * logits + offset)
        penalty = (scale - 1) ** 2 + (offset - (1 - scale) * mean) ** 2
        return log_loss(labels, changed, normalize=False) + SHRINKAGE / 2 * penalty

    (scales,), offsets = weigh_by_genre(labels, [logits], [1.0])
    lowest = penalized(scales[0], offsets[0])
    for step in (-0.02, 0.02):
        assert penalized(scales[0] + step, offsets[0]) > lowest
        assert penalized(scales[0], offsets[0] + step) > lowest

"""The scores of the test movies as lines of text."""

from typing import Any

from postergenres.scores.bootstrap import ComparedScores
from postergenres.scores.metrics import SCORES, STUDY
from postergenres.terminal import escape_controls

import pandas as pd


def format_test_scores(
    scores: ComparedScores, is_drawn: bool, without_words: dict[str, Any] | None = None
) -> str:
    """Return each score with its interval and its floor, and the comparison with the study.

    Args:
        scores: of the test movies.
        is_drawn: whether the movies are the demonstration set, which the study cannot be compared
            with.
        without_words: the entry of metrics.json.
    """
    lines = [f"{'':<50}{'score':>7}{'95 % interval':>18}{'floor':>8}"]
    for name, label in SCORES.items():
        row = scores.overall.loc[name]
        interval = f"{row['low']:.3f} to {row['high']:.3f}"
        lines.append(f"{label:<50}{row['score']:>7.3f}{interval:>18}{row['floor']:>8.3f}")
    absent = scores.per_genre.index[scores.per_genre["score"].isna()]
    if len(absent):
        names = ", ".join(map(escape_controls, absent))
        lines.append(f"not in the macro means, because no test movie has them: {names}")
    lines.append("floor: the score of the prior, which predicts the same for every movie")
    if is_drawn:
        lines.append("These posters are drawn: scores on them say nothing about real movies.")
    else:
        lines += compare_with_study(scores.overall)
    if without_words:
        names = ("binary_cross_entropy", "mAP", "macro_roc_auc")
        each = [f"{SCORES[x].split(' (')[0]} {without_words[x]['score']:.3f}" for x in names]
        lines.append(f"without the words on the posters: {', '.join(each)}")
    return "\n".join(lines)


def compare_with_study(overall: pd.DataFrame) -> list[str]:
    """Return the two scores that the study reports beside ours, each with its own floor."""
    lines = [f"{'compared with the study':<50}{'ours':>7}{'floor':>8}{'study':>8}{'floor':>8}"]
    for name, row in STUDY.items():
        ours = f"{overall.loc[name, 'score']:>7.3f}{overall.loc[name, 'floor']:>8.3f}"
        lines.append(f"{SCORES[name]:<50}{ours}{row['score']:>8.2f}{row['floor']:>8.3f}")
    return lines

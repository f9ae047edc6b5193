"""Show the scores of the test movies: as lines of text, and on a page, report.html."""

import subprocess
from pathlib import Path
from typing import Any

from postergenres.dataset.store import Store
from postergenres.models.saved import list_versions
from postergenres.report.doubtful_labels import INSTALL
from postergenres.report.pages import data_url, render
from postergenres.scores.bootstrap import ComparedScores, describe_mean_interval
from postergenres.scores.metrics import SCORES, STUDY
from postergenres.terminal import escape_controls

import numpy as np

PICTURES = (
    "average_precision.png",
    "precision_recall.png",
    "reliability.png",
    "mistakes.png",
    "poster_map.png",
    "model/training.png",
)


def format_test_scores(
    scores: ComparedScores,
    movies: int,
    is_drawn: bool,
    without_words: dict[str, Any] | None = None,
) -> str:
    """Return each score with its interval and floor and, if the posters are real, the study's.

    `movies` is the number of test movies, `without_words` the entry of metrics.json.
    """
    lines = [f"{'':<50}{'score':>7}{'95 % interval':>18}{'floor':>8}"]
    for name, label in SCORES.items():
        row = scores.overall.loc[name]
        has_none = np.isnan(row["low"])
        interval = "none" if has_none else f"{row['low']:.3f} to {row['high']:.3f}"
        lines.append(f"{label:<50}{row['score']:>7.3f}{interval:>18}{row['floor']:>8.3f}")
    absent = scores.per_genre.index[scores.per_genre["score"].isna()]
    if len(absent):
        names = ", ".join(map(escape_controls, absent))
        lines.append(f"not in the macro means, because no test movie has them: {names}")
    lines.append(
        "floor: the prior, which predicts the same for every movie; of mAP, a random order"
    )
    lines += describe_mean_interval(movies)
    if is_drawn:
        lines.append("These posters are drawn: scores on them say nothing about real movies.")
    else:
        lines.append(
            f"{'compared with the study':<50}{'ours':>7}{'floor':>8}{'study':>8}{'floor':>8}"
        )
        for name, study in STUDY.items():
            row = scores.overall.loc[name]
            ours = f"{row['score']:>7.3f}{row['floor']:>8.3f}"
            lines.append(f"{SCORES[name]:<50}{ours}{study['score']:>8.2f}{study['floor']:>8.3f}")
    if without_words:
        names = ("binary_cross_entropy", "mAP", "macro_roc_auc")
        each = [f"{SCORES[x].split(' (')[0]} {without_words[x]['score']:.3f}" for x in names]
        lines.append(f"without the words on the posters: {', '.join(each)}")
    return "\n".join(lines)


# --- report.html ----------------------------------------------------------------------------------


def write_report(
    metrics: dict[str, Any], about: dict[str, Any], store: Store, data_dir: Path, **content: Any
) -> None:
    """Write report.html with the pictures in a data folder.

    `metrics` and `about` are the contents of metrics.json and model.json; templates/report.html
    also shows the other content: parameters (their number), is_drawn, gallery and doubtful.
    """
    render(
        "report.html",
        data_dir / "report.html",
        metrics=metrics,
        about=about,
        counts=count_movies(store),
        origin=list_origin(metrics, about),
        labels=SCORES,
        study=STUDY,
        pictures=read_pictures(data_dir),
        per_genre=[
            row | {"genre": genre, "threshold": about["thresholds"][genre]}
            for genre, row in metrics["average_precision"].items()
        ],
        install=INSTALL,
        **content,
    )


def count_movies(store: Store) -> dict[str, int]:
    """Return the numbers of movies and genres of a store."""
    splits, copies = store.index["split"], store.index["copies"]
    return {
        "training movies": store.train_movies,
        "training movies in the sample": int((splits == "train").sum()),
        "rows of the sample, copies included": int(copies[splits == "train"].sum()),
        "validation movies": int((splits == "val").sum()),
        "test movies": int((splits == "test").sum()),
        "genres": len(store.genres),
    }


def list_origin(metrics: dict[str, Any], about: dict[str, Any]) -> dict[str, str | None]:
    """Return the checksums and versions behind the scores."""
    trained, scored = (
        ", ".join(f"{name} {version}" for name, version in versions.items())
        for versions in (about["versions"], list_versions())
    )
    weights = about.get("weights") or {}
    return {
        "initial weights": weights.get("name"),
        "checksum of the initial weights": weights.get("checksum"),
        "checksum of samples.csv": about["samples_sha256"],
        "checksum of the store during training": about["store_sha256"],
        "checksum of the store during scoring": metrics["store_sha256"],
        "checksum of model.keras": metrics["model_xxh3"],
        "git commit of the code during scoring": find_commit(),
        "versions during training": trained,
        "versions during scoring": scored,
    }


def read_pictures(data_dir: Path) -> dict[str, str]:
    """Return the pictures that exist as data URLs."""
    paths = {name: data_dir / name for name in PICTURES}
    return {
        name: data_url(path.read_bytes(), "png") for name, path in paths.items() if path.is_file()
    }


def find_commit() -> str | None:
    """Return the git commit of this code, with a + if files have changed; None without git."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # fails in another project
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None

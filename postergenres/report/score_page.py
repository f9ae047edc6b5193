"""Write report.html, the page about the test movies."""

import subprocess
from pathlib import Path

from postergenres.models.saved import list_versions
from postergenres.report.doubtful_labels import INSTALL
from postergenres.report.pages import data_url, render
from postergenres.scores.metrics import SCORES, STUDY

HERE = Path(__file__).resolve().parent

# The pictures of the report, in order: {file: (title, how to read it)}.
PICTURES = {
    "average_precision.png": (
        "Average precision of each genre",
        "If its whole interval is above its floor, the model has learned something about a genre.",
    ),
    "precision_recall.png": (
        "Precision and recall of each genre",
        "The higher a curve is above its dotted line, the floor, the better.",
    ),
    "reliability.png": (
        "Reliability of the probabilities",
        "On the diagonal, a genre that is predicted with 30 % is true for 30 % of the movies.",
    ),
    "mistakes.png": (
        "Confused genres",
        "A cell far above the last row, the floor, shows two genres that the model confuses.",
    ),
    "test_posters.png": (
        "Test posters: the best predicted, random ones, and the worst predicted",
        "Above each poster are its true genres, below it the three most probable genres; ✓ marks a "
        "true one.",
    ),
    "poster_map.png": (
        "Map of the test posters",
        "Posters that the network sees as alike are near each other. In the small maps, all movies "
        "of a genre stand out: if they lie together, the network sees the genre. Distances between "
        "far points, and the directions, have no meaning.",
    ),
    "model/training.png": (
        "Training",
        "The model of the epoch with the lowest validation loss is kept.",
    ),
}


def write_report(metrics, about, store, parameters, is_drawn, doubtful, data_dir):
    """Write report.html.

    Args:
        metrics: the content of metrics.json.
        about: the content of model.json.
        store: the store of step 3.
        parameters: the number of parameters of the model.
        is_drawn: whether the movies are the demonstration set.
        doubtful: what `test_scores.write_doubtful_labels` returned.
        data_dir: the folder of the pictures.
    """
    render(
        "report.html",
        data_dir / "report.html",
        metrics=metrics,
        about=about,
        parameters=parameters,
        is_drawn=is_drawn,
        counts=count_movies(store),
        origin=list_origin(metrics, about),
        labels=SCORES,
        study=STUDY,
        pictures=list_pictures(metrics, about, data_dir),
        per_genre=list_genres(metrics, about),
        doubtful=doubtful,
        install=INSTALL,
    )


def count_movies(store):
    """Return the numbers of movies and genres of a store: {what: number}."""
    splits, copies = store.index["split"], store.index["copies"]
    return {
        "training movies": store.train_movies,
        "training movies in the sample": int((splits == "train").sum()),
        "rows of the sample, copies included": int(copies[splits == "train"].sum()),
        "validation movies": int((splits == "val").sum()),
        "test movies": int((splits == "test").sum()),
        "genres": len(store.genres),
    }


def list_origin(metrics, about):
    """Return the checksums and versions behind the scores: {what: value}."""
    origin = {
        "checksum of samples.csv": about["samples_sha256"],
        "checksum of the store during training": about["store_sha256"],
        "checksum of the store during scoring": metrics["store_sha256"],
        "checksum of model.keras": metrics["model_sha256"],
        "git commit of the code during scoring": find_commit(),
        "versions during training": join_versions(about["versions"]),
        "versions during scoring": join_versions(list_versions()),
    }
    return {name: value for name, value in origin.items() if value is not None}


def join_versions(versions):
    """Return {package: version} as one line."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def list_genres(metrics, about):
    """Return the rows of the table of genres."""
    return [
        row | {"genre": genre, "threshold": about["thresholds"][genre]}
        for genre, row in metrics["average_precision"].items()
    ]


def list_pictures(metrics, about, data_dir):
    """Return the pictures that exist: title, how to read it, alternative text and data URL."""
    texts = list_alternative_texts(metrics, about)
    return [
        {
            "title": title,
            "reading": reading,
            "text": texts[name],
            "url": data_url((data_dir / name).read_bytes(), "png"),
        }
        for name, (title, reading) in PICTURES.items()
        if (data_dir / name).is_file()
    ]


def list_alternative_texts(metrics, about):
    """Return what a screen reader says instead of each picture: {file: text}."""
    genres = metrics["average_precision"].items()
    scored = {genre: row["score"] for genre, row in genres if row["score"] is not None}
    best, worst = max(scored, key=scored.get), min(scored, key=scored.get)
    mean, error = metrics["scores"]["mAP"], metrics["scores"]["calibration_error"]
    return {
        "average_precision.png": (
            "A bar for each genre, with its 95 % interval and its floor. The highest is "
            f"{best} at {scored[best]:.2f}, the lowest {worst} at {scored[worst]:.2f}. The mean is "
            f"{mean['score']:.3f}, and its floor {mean['floor']:.3f}."
        ),
        "precision_recall.png": (
            "A curve of precision against recall for each genre, and a dotted line for its floor, "
            "the share of the test movies that have the genre."
        ),
        "reliability.png": (
            "A curve of the share of true genres against their predicted probability, and the "
            "diagonal of perfect calibration. The expected calibration error is "
            f"{error['score']:.3f}."
        ),
        "mistakes.png": (
            "A heat map of pairs of genres. A cell shows for how many of 100 movies that have the "
            "first genre but not the second the second is predicted. The last row is the floor, "
            "the same number for movies of any genre."
        ),
        "test_posters.png": (
            "Three rows of posters with their true genres above and their three most probable "
            "genres below, where a tick marks a true genre."
        ),
        "poster_map.png": (
            "A large map of points, one for each test poster, with a color and a shape for its "
            "main genre, and below it a small map for each of these genres. The title says how "
            "often near posters have the same main genre."
        ),
        "model/training.png": (
            "Two curves of the cross-entropy of each epoch, for the training sample and for the "
            f"validation movies, and a line for the floor. Epoch {about['best_epoch']} was kept."
        ),
    }


def find_commit():
    """Return the git commit of this code, with a + if files have changed; None without git."""

    def git(*arguments):
        command = ["git", "-C", str(HERE), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # fails in another project
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None

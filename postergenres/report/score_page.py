"""Write report.html, the page about the test movies."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from postergenres.dataset.store import Store
from postergenres.models.saved import list_versions
from postergenres.report.doubtful_labels import INSTALL
from postergenres.report.pages import data_url, render
from postergenres.scores.metrics import SCORES, STUDY

HERE = Path(__file__).resolve().parent

PICTURES = (
    "average_precision.png",
    "precision_recall.png",
    "reliability.png",
    "mistakes.png",
    "test_posters.png",
    "poster_map.png",
    "model/training.png",
)


@dataclass(frozen=True)
class Report:
    """What report.html shows beside the pictures."""

    metrics: dict[str, Any]  # content of metrics.json
    about: dict[str, Any]  # content of model.json
    parameters: int  # of the model
    is_drawn: bool  # whether the movies are the demonstration set
    doubtful: dict[str, Any] | None  # what `test_report.write_doubtful_labels` returned


def write_report(report: Report, store: Store, data_dir: Path) -> None:
    """Write report.html with the pictures in a data folder."""
    render(
        "report.html",
        data_dir / "report.html",
        metrics=report.metrics,
        about=report.about,
        parameters=report.parameters,
        is_drawn=report.is_drawn,
        counts=count_movies(store),
        origin=list_origin(report.metrics, report.about),
        labels=SCORES,
        study=STUDY,
        pictures=read_pictures(data_dir),
        per_genre=list_genres(report.metrics, report.about),
        doubtful=report.doubtful,
        install=INSTALL,
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


def list_origin(metrics: dict[str, Any], about: dict[str, Any]) -> dict[str, str]:
    """Return the checksums and versions behind the scores."""
    origin = {
        "checksum of samples.csv": about["samples_sha256"],
        "checksum of the store during training": about["store_sha256"],
        "checksum of the store during scoring": metrics["store_sha256"],
        "checksum of model.keras": metrics["model_xxh3"],
        "git commit of the code during scoring": find_commit(),
        "versions during training": join_versions(about["versions"]),
        "versions during scoring": join_versions(list_versions()),
    }
    return {name: value for name, value in origin.items() if value is not None}


def join_versions(versions: dict[str, str]) -> str:
    """Return {package: version} as one line."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def list_genres(metrics: dict[str, Any], about: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the table of genres."""
    return [
        row | {"genre": genre, "threshold": about["thresholds"][genre]}
        for genre, row in metrics["average_precision"].items()
    ]


def read_pictures(data_dir: Path) -> dict[str, str]:
    """Return the pictures that exist as data URLs."""
    paths = {name: data_dir / name for name in PICTURES}
    return {
        name: data_url(path.read_bytes(), "png") for name, path in paths.items() if path.is_file()
    }


def find_commit() -> str | None:
    """Return the git commit of this code, with a + if files have changed; None without git."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(HERE), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # fails in another project
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None

"""The two pages of step 5: report.html on the test movies, predictions.html on posters of the user.

Each is one file with all in it, its pictures too, and needs no network. Made with Jinja2 from the
templates in templates/.
"""

import base64
import io
import subprocess
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from postergenres.evaluation.metrics import SCORES, STUDY
from postergenres.files import replacing
from postergenres.models.saved import list_versions

HERE = Path(__file__).resolve().parent


def write_report(metrics, about, store, parameters, data_dir):
    """Write report.html.

    Args:
        metrics: the content of metrics.json.
        about: the content of model.json.
        store: the store of step 3.
        parameters: how many the model has.
        data_dir: where the pictures are.
    """
    splits, copies = store.index["split"], store.index["copies"]
    counts = {
        "training movies in the data": store.train_movies,
        "of these in the sample": int((splits == "train").sum()),
        "with repeats": int(copies[splits == "train"].sum()),
        "validation movies": int((splits == "val").sum()),
        "test movies": int((splits == "test").sum()),
        "genres": len(store.genres),
    }
    origin = {
        "checksum of samples.csv": about["samples_sha256"],
        "checksum of the store, when it trained": about["store_sha256"],
        "checksum of the store, when it was scored": metrics["store_sha256"],
        "checksum of model.keras": metrics["model_sha256"],
        "git commit of the scripts that scored it": find_commit(),
        "versions, when it trained": describe_versions(about["versions"]),
        "versions, when it was scored": describe_versions(list_versions()),
    }
    render(
        "report.html",
        data_dir / "report.html",
        metrics=metrics,
        about=about,
        parameters=parameters,
        counts=counts,
        origin={name: value for name, value in origin.items() if value is not None},
        labels=SCORES,
        study=STUDY,
        pictures=list_pictures(metrics, about, data_dir),
        per_genre=list_genres(metrics, about),
    )


def describe_versions(versions):
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def list_genres(metrics, about):
    """The rows of the table of genres."""
    return [
        row | {"genre": genre, "threshold": about["thresholds"][genre]}
        for genre, row in metrics["average_precision"].items()
    ]


def list_pictures(metrics, about, data_dir):
    """What the report shows: title, alternative text, and the picture as a data URL."""
    scored = {
        genre: row["score"]
        for genre, row in metrics["average_precision"].items()
        if row["score"] is not None
    }
    best, worst = max(scored, key=scored.get), min(scored, key=scored.get)
    mean, error = metrics["scores"]["mAP"], metrics["scores"]["calibration_error"]
    texts = {
        "average_precision.png": (
            "Average precision of each genre",
            f"Bars, one for each genre, with their 95 % interval and floor. The highest is {best} "
            f"with {scored[best]:.2f}, the lowest {worst} with {scored[worst]:.2f}; the mean is "
            f"{mean['score']:.3f}, its floor {mean['floor']:.3f}.",
        ),
        "precision_recall.png": (
            "Precision and recall",
            "A curve of precision against recall for each genre, above a dotted line, the floor: "
            "the share of the test movies that carry the genre.",
        ),
        "reliability.png": (
            "Reliability",
            "The share of predicted genres that are true, against their predicted probability, "
            "beside the diagonal on which it should lie. The expected calibration error is "
            f"{error['score']:.3f}.",
        ),
        "mistakes.png": (
            "Which genres are taken for which",
            "A table of all pairs of genres: of 100 movies of one genre that are not of the other, "
            "for how many the other is predicted all the same. The last line is the floor: of 100 "
            "movies of any genre.",
        ),
        "test_posters.png": (
            "Test posters, the best, some, and the worst",
            "Three lines of posters with their true genres above and the three most probable ones "
            "below, a tick at those that are true.",
        ),
        "model/training.png": (
            "Training",
            "The cross-entropy of each epoch in training and on the validation movies, beside the "
            f"floor. Epoch {about['best_epoch']} was kept.",
        ),
    }
    return [
        {"title": title, "text": text, "url": data_url((data_dir / name).read_bytes(), "png")}
        for name, (title, text) in texts.items()
        if (data_dir / name).is_file()
    ]


def write_sheet(table, best, thumbnails, heat_maps, answered, data_dir):
    """Write predictions.html: the first posters with their most probable genres as bars.

    Args:
        table: path, error, predicted_genres of all posters.
        best: the most probable genres of the first ones, lists of (genre, probability).
        thumbnails: the pixels of the first posters, None where there are none.
        heat_maps: the first of them under their Grad-CAM, or None.
        answered: who did.
    """
    cards = []
    for i, pixels in enumerate(thumbnails):
        row = table.iloc[i]
        cards.append(
            {
                "path": row["path"],
                "error": row["error"],
                "predicted": row["predicted_genres"].replace("|", ", "),
                "best": best[i],
                "poster": encode(pixels),
                "heat_map": encode(heat_maps[i]) if i < len(heat_maps) else None,
            }
        )
    render(
        "predictions.html",
        data_dir / "predictions.html",
        cards=cards,
        count=len(table),
        unread=int((table["error"] != "").sum()),
        heat_maps=len(heat_maps),
        answered=answered,
    )


def encode(pixels):
    """Pixels as the data URL of a JPEG, or None."""
    if pixels is None:
        return None
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(buffer, "JPEG", quality=85)
    return data_url(buffer.getvalue(), "jpeg")


def data_url(content, kind):
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def find_commit():
    """The git commit of these scripts, with a + where they were changed since; None without git."""

    def git(*arguments):
        command = ["git", "-C", str(HERE), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # not the commit of another project
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def render(template, path, **content):
    loader = FileSystemLoader(HERE / "templates")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["show"] = lambda value: "–" if value is None else f"{value:.3f}"
    with replacing(path) as part:
        text = environment.get_template(template).render(**content)
        part.write_text(text, encoding="utf-8")

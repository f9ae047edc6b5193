"""The page: what it shows. Its script, page.js, sends posters to the server and shows answers."""

from pathlib import Path
from typing import Any

from postergenres.app.answers import MOST_POSTERS, TEMPLATES, Answers
from postergenres.report.named_posters import LIMITS
from postergenres.report.pages import data_url, fill

import gradio as gr
import pandas as pd
from gradio import themes
from starlette.applications import Starlette

EXAMPLES = Path(__file__).parents[2] / "data" / "examples"  # an installed package has none

# Fonts that every system has: none is loaded from a host.
FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif")
MONO = ("ui-monospace", "DejaVu Sans Mono", "monospace")
# Tells page.js which model is chosen.
CHOOSE = "(detail) => { document.dispatchEvent(new CustomEvent('choose', { detail })); }"


def build_page(answers: Answers) -> gr.Blocks:
    limits = {"most_bytes": LIMITS.max_bytes, "most_posters": MOST_POSTERS}
    models = list(answers.folders)
    with gr.Blocks(title="Movie genres from posters", analytics_enabled=False) as page:
        show(fill("introduction.html", TEMPLATES))
        with gr.Row(equal_height=True):
            with gr.Column():  # a column of its own, which is wrapped on a narrow screen
                show(fill("drop.html", TEMPLATES, **limits), container=True, padding=True)
            with gr.Column():
                model = gr.Radio(models, value=models[0], label="Model")
                if EXAMPLES.is_dir():
                    examples = fill("examples.html", TEMPLATES, examples=read_examples(EXAMPLES))
                    show(examples, container=True, padding=True)
        script = fill("page.js", TEMPLATES, model=models[0], **limits)
        show(fill("answer.html", TEMPLATES), elem_id="answer", js_on_load=script)
        model.change(None, model, js=CHOOSE)
    return page


def read_examples(folder: Path) -> list[dict[str, str]]:
    """Return the posters of a folder: title, year, true genres, and the file as a data URL."""
    movies = pd.read_csv(folder / "posters.csv", dtype=str).to_dict("records")
    return [
        {
            "title": movie["title"],
            "year": movie["year"],
            "genres": movie["genres"].replace("|", ", "),
            "url": data_url((folder / f"{movie['id']}.jpg").read_bytes(), "jpeg"),
        }
        for movie in movies
    ]


def show(content: str, **options: Any) -> gr.HTML:
    """Add HTML to the page."""
    return gr.HTML(content, elem_classes="poster-page", apply_default_css=False, **options)


def mount_page(app: Starlette, answers: Answers) -> None:
    """Let an application answer "/" with the page."""
    gr.mount_gradio_app(
        app,  # pyright: ignore  # Gradio's annotation is for FastAPI, a subclass
        build_page(answers),
        path="/",
        ssr_mode=False,
        footer_links=[],
        run_history=False,
        theme=themes.Base(font=FONT, font_mono=MONO),
        head=f"<style>{fill('page.css', TEMPLATES)}</style>",
    )

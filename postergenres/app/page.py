"""The page: what it shows, and how it is served to this machine only."""

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from postergenres.app.answers import MOST_BYTES, MOST_POSTERS, TEMPLATES, Answers
from postergenres.report.named_posters import LIMITS
from postergenres.report.pages import fill

import gradio as gr
from gradio import themes

ADDRESS = "127.0.0.1"  # other machines cannot open the page
# Fonts that every system has: none is loaded from a host.
FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif")
MONO = ("ui-monospace", "DejaVu Sans Mono", "monospace")


def build_page(answers: Answers) -> gr.Blocks:
    limits = {
        "most_bytes": LIMITS.max_bytes,
        "most_posters": MOST_POSTERS,
        "most_together": MOST_BYTES,
    }
    models = list(answers.folders)
    with gr.Blocks(title="Movie genres from posters", analytics_enabled=False) as page:
        show(fill("introduction.html", TEMPLATES))
        with gr.Row(equal_height=True):
            with gr.Column():  # a column of its own, which is wrapped on a narrow screen
                drop = show(
                    fill("drop.html", TEMPLATES, **limits),
                    js_on_load=fill("drop.js", TEMPLATES, **limits),
                    container=True,
                    padding=True,
                )
            with gr.Column():
                model = gr.Radio(models, value=models[0], label="Model")
                draw = gr.Button(f"Draw {answers.examples} examples")
        read_aloud = 'element.setAttribute("aria-live", "polite")'
        answer = show("", elem_id="answer", js_on_load=read_aloud)

        def answer_drop(model_name: str, event: gr.EventData) -> str:
            return answers.answer_files(event.files, model_name, event.count)

        options: dict[str, Any] = {
            "outputs": answer,
            "api_visibility": "private",
            "queue": False,  # the answer comes with its request: in 130, not 190 ms
            "show_progress": "minimal",
            "trigger_mode": "multiple",  # a drop while another is being answered counts, too
        }
        drop.upload(answer_drop, model, **options)
        draw.click(answers.answer_examples, model, **options)
    return page


def show(content: str, **options: Any) -> gr.HTML:
    """Add HTML to the page."""
    return gr.HTML(content, elem_classes="poster-page", apply_default_css=False, **options)


@contextmanager
def serving(answers: Answers, port: int) -> Iterator[str]:
    """Serve the page during the block, to this machine only, and yield its address.

    Raises:
        SystemExit: the port is in use.
    """
    for name in ("no_proxy", "NO_PROXY"):  # Gradio asks its own page whether it is there
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), ADDRESS]))
    with tempfile.TemporaryDirectory(prefix="movie-poster-genres-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # of uploads, which the page never makes
        page = build_page(answers)
        try:
            page.launch(
                server_name=ADDRESS,
                server_port=port,
                share=False,
                quiet=True,
                prevent_thread_lock=True,
                ssr_mode=False,
                footer_links=[],
                run_history=False,
                max_file_size=LIMITS.max_bytes,
                theme=themes.Base(font=FONT, font_mono=MONO),
                head=f"<style>{fill('page.css', TEMPLATES)}</style>",
            )
        except OSError:
            sys.exit(f"Port {port} is in use. Name another: python -m postergenres.app --port 7861")
        try:
            yield f"http://{ADDRESS}:{port}"
        finally:
            page.close(verbose=False)


def serve(answers: Answers, port: int) -> None:
    """Serve the page until Ctrl-C."""
    with serving(answers, port) as address:
        print(f"to view the page, open {address}; to stop it, press Ctrl-C", flush=True)
        threading.Event().wait()

"""The page: what it shows, and how it is served to this machine only."""

import os
import signal
import sys
import tempfile
import threading
from contextlib import contextmanager

# Read as Gradio is imported: it tells nobody that the page was opened.
os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}

from postergenres.app.answers import MOST_BYTES, MOST_POSTERS, TEMPLATES  # noqa: E402
from postergenres.report.named_posters import LIMITS  # noqa: E402
from postergenres.report.pages import fill  # noqa: E402

import gradio as gr  # noqa: E402

ADDRESS = "127.0.0.1"  # other machines cannot open the page
TITLE = "Movie genres from posters"
LEFTOVERS = 60  # seconds after which Gradio deletes what was uploaded, which the page never does

FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif")
MONO = ("ui-monospace", "DejaVu Sans Mono", "monospace")
COLORS = {  # Gradio's names for the colors of templates/colors.css, light and dark
    "body_background_fill": "var(--page)",
    "background_fill_primary": "var(--card)",
    "background_fill_secondary": "var(--page)",
    "block_background_fill": "var(--card)",
    "block_label_background_fill": "var(--card)",
    "input_background_fill": "var(--page)",
    "checkbox_background_color": "var(--page)",
    "checkbox_label_background_fill": "var(--page)",
    "checkbox_label_background_fill_hover": "var(--rest)",
    "checkbox_label_background_fill_selected": "var(--rest)",
    "checkbox_background_color_selected": "var(--link)",
    "checkbox_border_color": "var(--soft)",
    "border_color_primary": "var(--line)",
    "block_border_color": "var(--line)",
    "input_border_color": "var(--soft)",
    "input_border_color_focus": "var(--link)",
    "body_text_color": "var(--text)",
    "body_text_color_subdued": "var(--soft)",
    "block_title_text_color": "var(--text)",
    "block_label_text_color": "var(--text)",
    "checkbox_label_text_color": "var(--text)",
    "checkbox_label_text_color_selected": "var(--text)",
    "input_placeholder_color": "var(--soft)",
    "button_primary_background_fill": "var(--link)",
    "button_primary_background_fill_hover": "var(--link)",
    "button_primary_text_color": "var(--card)",
    "button_secondary_background_fill": "var(--rest)",
    "button_secondary_background_fill_hover": "var(--rest)",
    "button_secondary_text_color": "var(--text)",
    "button_secondary_border_color": "var(--soft)",
    "color_accent": "var(--link)",
}


def build_page(answers):
    """Return the page, a `gradio.Blocks`.

    Args:
        answers: the `Answers`.
    """
    limits = {
        "most_bytes": LIMITS.max_bytes,
        "most_posters": MOST_POSTERS,
        "most_together": MOST_BYTES,
    }
    models = list(answers.folders)
    cleaning = (LEFTOVERS, LEFTOVERS)
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=cleaning) as page:
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
                url = gr.Textbox(label="Or the URL of a poster", placeholder="https://")
                fetch = gr.Button("Fetch and predict")
                draw = gr.Button(f"Draw {answers.examples} examples")
        model = gr.Radio(models, value=models[0], label="Model")
        spoken = 'element.setAttribute("aria-live", "polite")'
        answer = show("", elem_id="answer", js_on_load=spoken)

        def answer_drop(model_name, event: gr.EventData):
            return answers.answer_files(event.files, model_name, event.count)

        options = {
            "outputs": answer,
            "api_visibility": "private",
            "queue": False,  # the answer comes with its request: in 130, not 190 ms
            "show_progress": "minimal",
            "trigger_mode": "multiple",  # a drop while another is being answered counts, too
        }
        drop.upload(answer_drop, model, **options)
        gr.on([fetch.click, url.submit], answers.answer_urls, [url, model], **options)
        draw.click(answers.answer_examples, model, **options)
    return page


def show(content, **options):
    """Add HTML to the page, and return its `gradio.HTML`."""
    return gr.HTML(content, elem_classes="poster-page", apply_default_css=False, **options)


def choose_colors():
    """Return Gradio's theme with the look of predictions.html and fonts that every system has."""
    theme = gr.themes.Base(font=FONT, font_mono=MONO)
    known = vars(theme)
    dark = {f"{name}_dark": color for name, color in COLORS.items() if f"{name}_dark" in known}
    return theme.set(**COLORS, **dark)


@contextmanager
def serving(answers, port):
    """Serve the page during the block, to this machine only.

    Args:
        answers: the `Answers`.
        port: of the page.

    Raises:
        SystemExit: the port is in use.
    """
    for name in ("no_proxy", "NO_PROXY"):  # Gradio asks its own page whether it is there
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), ADDRESS]))
    with tempfile.TemporaryDirectory(prefix="movie-poster-genres-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
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
                theme=choose_colors(),
                head=f"<style>{fill('page.css', TEMPLATES)}</style>",
            )
        except OSError:
            sys.exit(f"Port {port} is in use. Edit PORT in postergenres/app/__main__.py")
        try:
            yield f"http://{ADDRESS}:{port}"
        finally:
            page.close(verbose=False)


def serve(answers, port):
    """Serve the page until Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # to delete the temporary folder
    with serving(answers, port) as address:
        print(f"to view the page, open {address}; to stop it, press Ctrl-C", flush=True)
        threading.Event().wait()

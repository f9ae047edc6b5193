"""Serve a page to play with, and open it: drop posters, see their genres.

    python -m postergenres.app

Reads   the model that MODEL names, and others that are chosen on the page; data/examples/; and
        DATA_DIR/store/, if there is one, for similar posters
Writes  DATA_DIR/features/ if there is a store; posters are forgotten once they are answered
Takes   a few seconds to start, then about a tenth of a second for each poster
"""

import os
import sys
import threading
import webbrowser
from contextlib import suppress
from pathlib import Path

from postergenres.app.answers import Answers
from postergenres.settings import (
    Count,
    CountOrZero,
    Folder,
    HostNames,
    Port,
    Text,
    checked,
    run_from_shell,
)

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder that train.py wrote to
PORT = 7860  # of the page
HOST = "127.0.0.1"  # only this machine can open the page; "0.0.0.0" for others, too
ALLOW_HOST = ()  # names of this machine in the address that others open, such as "posters.example"
MODEL = None  # yours if you trained one, else "efficientnet_lite2"; or "improved"; or a folder
TOP = 6  # show at least so many genres of each poster: the predicted ones, then the next
SIMILAR = 5  # training movies with the most similar posters to show for each poster; 0 for none
# --------------------------------------------------------------------------------------------------


@checked
def main(
    data_dir: Folder = DATA_DIR,
    port: Port = PORT,
    host: Text = HOST,
    allow_host: HostNames = ALLOW_HOST,
    model: Folder | None = MODEL,
    top: Count = TOP,
    similar: CountOrZero = SIMILAR,
) -> None:
    """Serve the page until Ctrl-C."""
    try:
        from postergenres.app.server import serving
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        sys.exit("Gradio is missing. Run: python -m pip install -r requirements/app.txt")
    answers = Answers(Path(data_dir), model, top=top, similar=similar)
    with serving(answers, port, host, allow_host) as address:
        print(f"to view the page, open {address}; to stop it, press Ctrl-C", flush=True)
        open_browser(address)
        threading.Event().wait()


def open_browser(address: str) -> None:
    """Open an address in the browser, if there is a screen; a browser in a terminal is none."""
    if sys.platform in ("darwin", "win32") or {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        webbrowser.open(address)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        run_from_shell(main)

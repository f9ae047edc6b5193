"""Open a page to play with: drop posters, see their genres.

    python -m postergenres.app

Reads   a pretrained model or, if you have trained one, DATA_DIR/model/; and
        DATA_DIR/store/, if there is one, for similar posters
Writes  DATA_DIR/features/ if there is a store; posters are forgotten once they are answered
Takes   a few seconds to start, then about a tenth of a second for each poster
"""

import sys
from contextlib import suppress
from pathlib import Path

from postergenres.app.answers import Answers
from postergenres.settings import (
    Count,
    CountOrZero,
    Folder,
    Port,
    Pretrained,
    checked,
    run_from_shell,
)

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder that train.py wrote to
PORT = 7860  # of the page, which only this machine can open
PRETRAINED = "efficientnet_lite2"  # chosen if you have not trained a model; "improved" is faster
TOP = 6  # show at least so many genres of each poster: the predicted ones, then the next
EXAMPLES = 6  # posters to draw at a click
SIMILAR = 5  # training movies with the most similar posters to show for each poster; 0 for none
# --------------------------------------------------------------------------------------------------


@checked
def main(
    data_dir: Folder = DATA_DIR,
    port: Port = PORT,
    pretrained: Pretrained = PRETRAINED,
    top: Count = TOP,
    examples: Count = EXAMPLES,
    similar: CountOrZero = SIMILAR,
) -> None:
    """Serve the page until Ctrl-C."""
    try:
        from postergenres.app.server import serve
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        sys.exit("Gradio is missing. Run: python -m pip install -r requirements/app.txt")
    answers = Answers(Path(data_dir), pretrained, top=top, examples=examples, similar=similar)
    serve(answers, port)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        run_from_shell(main)

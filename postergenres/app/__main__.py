"""Open a page to play with: drop posters, see their genres.

    python -m postergenres.app

Reads   a pretrained model in data/pretrained/ or, if you have trained one, DATA_DIR/model/; and
        DATA_DIR/store/, if there is one, for similar posters
Writes  DATA_DIR/features/ if there is a store; posters are forgotten once they are answered
Takes   a few seconds to start, then about a tenth of a second for each poster
"""

import sys
from contextlib import suppress

from postergenres.app.answers import Answers
from postergenres.old_settings import PATH, one_of, whole

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder that train.py wrote to
PORT = 7860  # of the page, which only this machine can open
PRETRAINED = "efficientnet_lite2"  # chosen if you have not trained a model; "improved" is faster
TOP = 6  # show at least so many genres of each poster: the predicted ones, then the next
EXAMPLES = 6  # posters to draw at a click
SIMILAR = 5  # training movies with the most similar posters to show for each poster; 0 for none
# --------------------------------------------------------------------------------------------------

RULES = {
    "data_dir": PATH,
    "port": whole(1, 65535),
    "pretrained": one_of("efficientnet_lite2", "improved"),
    "top": whole(1, 1000),
    "examples": whole(1, 100),
    "similar": whole(0, 100),
}


def main(
    data_dir=DATA_DIR,
    port=PORT,
    pretrained=PRETRAINED,
    top=TOP,
    examples=EXAMPLES,
    similar=SIMILAR,
):
    """Serve the page until Ctrl-C."""
    settings = {name: value for name, value in locals().items() if name in RULES}
    for name, rule in RULES.items():
        if not rule.allows(settings[name]):
            fault = f"{name.upper()} must be {rule.wanted}, got {settings[name]!r}"
            sys.exit(f"{fault}. Edit {name.upper()} in {__file__}, then run: make app")
    try:
        from postergenres.app.page import serve
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        sys.exit("Gradio is missing. Run: python -m pip install -r requirements/app.txt")
    serve(Answers(data_dir, pretrained, top, examples, similar), port)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()

"""Step 5: score the model on the test movies, or predict the genres of posters.

    python predict.py
    python predict.py data/examples
    python predict.py poster.jpg folder_of_posters https://host/poster.jpg

Reads   without arguments: DATA_DIR/model/ and DATA_DIR/store/; with arguments: the posters; the
        model that MODEL names; and DATA_DIR/store/, if there is one, for similar posters
Writes  without arguments: DATA_DIR/metrics.json, test_predictions.csv, report.html, its pictures
        and, if requirements/labels.txt is installed, doubtful_labels.csv; with arguments:
        predictions.csv, predictions.html and words/; with a store also similar.csv and features/
Takes   about 40 s for 2,000 test movies, with the labels of as many validation movies questioned;
        two to four seconds for a poster, with its words
"""

from pathlib import Path

from postergenres.models.description import choose_model, find_model
from postergenres.models.exported import add_missing_export
from postergenres.poster_model import PosterModel
from postergenres.report.named_posters import find_posters
from postergenres.report.poster_report import predict_paths
from postergenres.report.predictions import Shown
from postergenres.settings import (
    Count,
    CountOrZero,
    Folder,
    Posters,
    SettingError,
    checked,
    run_from_shell,
)
from postergenres.step import step
from postergenres.words.cache import WordsCache

import pandas as pd

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder that train.py wrote to
TOP = 3  # show at least so many genres of each poster: the predicted ones, then the next
SHEET = 200  # posters in predictions.html, the first ones; each takes 6 to 35 kB of the page
GRAD_CAM = 12  # posters in predictions.html that get a heat map, the first ones; 0 for none
MODEL = None  # yours if you trained one, else "efficientnet_lite2"; or "improved"; or a folder
WORDS = True  # read the words on posters, too, if the model knows words; False: the network alone
SIMILAR = 5  # training movies with the most similar posters to find for each poster; 0 for none
# --------------------------------------------------------------------------------------------------


@checked
def main(
    paths: Posters = (),
    data_dir: Folder = DATA_DIR,
    top: Count = TOP,
    sheet: CountOrZero = SHEET,
    grad_cam: CountOrZero = GRAD_CAM,
    model: Folder | None = MODEL,
    words: bool = WORDS,
    similar: CountOrZero = SIMILAR,
) -> pd.DataFrame:
    """Score the test movies or, if `paths` are given, predict posters; return the scores or table.

    Args:
        paths: files, folders and URLs of posters, or one of them.
        data_dir, top, sheet, grad_cam, model, words, similar: see the settings above.
    """
    data_dir = Path(data_dir)
    with step("predict", data_dir):
        if paths:
            folder = find_model(model or choose_model(data_dir))
            add_missing_export(folder)
            shown = Shown(top=top, sheet=sheet, grad_cam=grad_cam, similar=similar)
            with WordsCache(data_dir) as cache:
                opened = PosterModel(folder, words, cache.read_words)
                return predict_paths(find_posters(paths), opened, data_dir, shown)
        if model:
            raise SettingError("model", f"is for posters, and none were named, got {model!r}")
        from postergenres.report.test_report import score_test  # TensorFlow; posters need none

        return score_test(data_dir)


if __name__ == "__main__":
    run_from_shell(main)

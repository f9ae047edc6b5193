"""Step 5: settings, the store, the model, and the data sets that reach the report."""

from hostile.outcomes import blocked, every, goes_on, stops
from hostile.train_cases import STORE_ARTEFACTS

SETTINGS = {
    "data_dir": {"text"},
    "top": set(),
    "sheet": {"0"},
    "grad_cam": {"0"},
    "pretrained": set(),
}

OTHER_MODEL = stops(r"model\.keras is damaged or belongs to another model\.json", "train")
NO_NETWORK = stops(r"model\.keras is missing", "train")
DAMAGED_ABOUT = stops(r"model\.json is damaged", "train")
NO_ABOUT = stops(r"model\.json is missing", "train")

ARTEFACTS = STORE_ARTEFACTS | {
    "model/model.keras": every(OTHER_MODEL, missing=NO_NETWORK, folder=NO_NETWORK),
    "model/model.json": every(
        DAMAGED_ABOUT,
        missing=NO_ABOUT,
        folder=NO_ABOUT,
        a_bit_flipped=stops(r"model\.json was changed or damaged after training", "train"),
        another_data_sets=OTHER_MODEL,
        older_versions=goes_on(r"^note: .*model\.json was written by an older version"),
    ),
    "model/training.png": every(goes_on()),  # a picture of the report
    "model/history.csv": every(goes_on()),  # for people
    # Only says whether the posters are drawn.
    "posters.csv": every(
        stops(r"posters\.csv cannot be used: .* To write it again", "database"),
        missing=goes_on(),
        folder=goes_on(),
        a_bit_flipped=goes_on(),
        another_data_sets=goes_on(),
    ),
    # The files of the run before are replaced.
    "metrics.json": every(goes_on(), folder=blocked("predict")),
    "test_predictions.csv": every(goes_on(), folder=blocked("predict")),
}

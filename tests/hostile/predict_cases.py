"""Step 5: settings, the store, the model, and the data sets that reach the report."""

from hostile.outcomes import blocked, differs, every, goes_on, stops
from hostile.train_cases import STORE_ARTEFACTS

SETTINGS = {
    "data_dir": {"text"},
    "top": set(),
    "sheet": {"0"},
    "grad_cam": {"0"},
    "pretrained": set(),
    "similar": {"0"},
}

OTHER_MODEL = stops(r"model\.keras is damaged or belongs to another model\.json", "train")
NO_NETWORK = stops(r"model\.keras is missing", "train")
DAMAGED_ABOUT = stops(r"model\.json is damaged", "train")
NO_ABOUT = stops(r"model\.json is missing", "train")

ARTEFACTS = STORE_ARTEFACTS | {
    "model/model.keras": every(OTHER_MODEL, missing=NO_NETWORK, folder=NO_NETWORK),
    # Named posters need it, the scores do not: see tests/models/test_exported.py.
    "model/model.tflite": every(goes_on()),
    "model/model.json": every(
        DAMAGED_ABOUT,
        missing=NO_ABOUT,
        folder=NO_ABOUT,
        a_bit_flipped=stops(r"model\.json (is|was changed or) damaged", "train"),
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
    "poster_map.png": every(goes_on(), folder=blocked("predict")),
    "doubtful_labels.csv": every(goes_on(), folder=blocked("predict")),
}

UNUSABLE = differs(r"^note: no similar movies are shown: .* Run: python preprocessing\.py$")
MADE_AGAIN = goes_on("^note: .*npy is damaged: its features are made again$")

# With posters named: what the search of similar posters reads. The genres are predicted anyway.
NAMED_ARTEFACTS = {
    # Only for the titles, which the movies of the tests lack.
    "samples.csv": every(UNUSABLE, missing=goes_on(), folder=goes_on()),
    "store/store.json": every(
        UNUSABLE, missing=differs(""), folder=differs(""), older_versions=UNUSABLE
    ),
    "store/images.npy": every(UNUSABLE),
    "store/labels.npy": every(UNUSABLE),
    "store/index.csv": every(UNUSABLE),
    "store/checksums.csv": every(UNUSABLE),
    "features/CHUNK/CHUNK.npy": every(
        MADE_AGAIN, missing=goes_on("^computing the features of "), folder=blocked("predict")
    ),
    "features/CHUNK/CHUNK.sha256": every(
        MADE_AGAIN,
        missing=goes_on("^note: 1 feature files in .* were written by an older version"),
        folder=blocked("predict"),
    ),
}

TEXTS = {
    "a newline": "a\nb",
    "a carriage return": "a\rb",
    "ESC sequences": "a\x1b[31mb\x1b]0;x\x07",
    "emoji": "🎬👩‍👩‍👧",
    "right-to-left marks": "\u202eabc\u202d",
    "10,000 characters": "x" * 10_000,
    "HTML": "<script>alert(1)</script>",
    "a formula": "=1+1",
    "NUL": "a\0b",
    "quotes": "\"'",
    "a bar": "a|b",
    "NaN": "NaN",
    "half a character": "\ud800",
}
LONG = ("10,000 characters", "NUL", "half a character", "HTML")  # cannot name a file
COMPLETE = goes_on("^next: python predict.py POSTER.jpg$")

# Data sets that reach the report: changes of the ordinary one, which has 60 movies of 3 genres.
DATA_SETS = {
    "ordinary": ({}, COMPLETE),
    "10 movies, if few are allowed": ({"movies": 10, "min_genre_movies": 1}, COMPLETE),
    "one genre": ({"genres": ["Drama"]}, COMPLETE),
    "all genres for each movie": ({"genres": ["Action|Comedy|Drama"]}, COMPLETE),
    "all texts at once": (
        {
            "titles": list(TEXTS.values()),
            "genres": ["Drama", *TEXTS.values()],
            "ids": list(TEXTS.values()),
            "min_genre_movies": 1,
        },
        COMPLETE,
    ),
    **{f"titles: {x}": ({"titles": [text]}, COMPLETE) for x, text in TEXTS.items()},
    **{f"genres: {x}": ({"genres": ["Drama", text]}, COMPLETE) for x, text in TEXTS.items()},
    **{f"an id: {x}": ({"ids": [text]}, COMPLETE) for x, text in TEXTS.items()},
    **{f"a file: {x}": ({"file": t}, COMPLETE) for x, t in TEXTS.items() if x not in LONG},
    "titles of like posters: ESC sequences": (
        {"posters": [*range(58), 0, 1], "titles": [TEXTS["ESC sequences"]]},
        COMPLETE,
    ),
}

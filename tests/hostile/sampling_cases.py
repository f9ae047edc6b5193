"""Step 2: settings, the files of step 1, the old files of step 2, and degenerate data sets."""

from hostile.outcomes import blocked, differs, every, goes_on, stops

SETTINGS = {
    "data_dir": {"text"},
    "excluded_genres": {"empty list"},
    "min_genre_movies": set(),
    "near_duplicate": {"0"},
    "sample_fraction": set(),
    "oversampling": set(),
    "common_genres": set(),
    "fill": {"empty list"},
    "growth": {"0", "2.5"},
    "max_copies": set(),
    "val_share": set(),
    "test_share": set(),
    "seed": {"0"},
    "cluster": {"None", "text"},
}

ARTEFACTS = {
    "posters.csv": every(
        stops(r"posters\.csv cannot be used: .* To write it again", "database"),
        missing=stops(r"posters\.csv is missing", "database"),
        folder=stops(r"posters\.csv is missing", "database"),
        a_bit_flipped=differs(""),  # another genre; people may edit this table
        another_data_sets=differs("^91 movies, 91 with a poster$"),
    ),
    "posters/m007.jpg": every(
        goes_on(),
        missing=goes_on("^1 posters are missing. To download them again"),
        folder=goes_on("^1 posters are missing. To download them again"),
        another_data_sets=differs("^2 posters are the same as another or nearly so"),
    ),
    # The files of the run before are replaced.
    "samples.csv": every(goes_on(), folder=blocked("sampling")),
    "sampling.json": every(goes_on(), folder=blocked("sampling")),
    "sampling.png": every(goes_on(), folder=blocked("sampling")),
}

FEW_POSTERS = r"^Only \d movies have a poster, too few\. "
ONLY_RARE = r"^Only 0 movies are left, too few: \d+ of \d+ have only genres of fewer than MIN_GENRE"
NO_POSTERS = r"^Only 0 movies have a poster, too few\. "  # placeholders were left out

# (changes of the ordinary data set, see predict_cases; the line that ends step 2)
DATA_SETS = {
    "1 movie": ({"movies": 1}, stops(FEW_POSTERS, "database")),
    "3 movies": ({"movies": 3}, stops(FEW_POSTERS, "database")),
    "10 movies": ({"movies": 10}, stops(ONLY_RARE, "sampling")),
    "a genre for each movie": (
        {"genres": [f"G{i}" for i in range(60)]},
        stops(ONLY_RARE, "sampling"),
    ),
    "no genres": (
        {"genres": [""]},
        stops(r"^Only 0 movies are left, too few: 60 of 60 have no genre\. ", "database"),
    ),
    "excluded genres": (
        {"genres": ["Foreign", "TV Movie|Drama"]},
        stops(r"^Only 0 movies are left.* have a genre of EXCLUDED_GENRES\. ", "sampling"),
    ),
    "all posters the same": ({"posters": [0]}, stops(NO_POSTERS, "database")),
}

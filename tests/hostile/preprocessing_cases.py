"""Step 3: settings, the files of step 2, the old store, and the store of a stopped run."""

from hostile.outcomes import blocked, differs, every, goes_on, stops

SETTINGS = {
    "data_dir": {"text"},
    "image_height": set(),
    "image_width": set(),
    "workers": {"None"},
    "cluster": {"None", "text"},
}

AGAIN = goes_on("do not belong together, or an older version wrote them. They are made again$")
FLOORS = r"^note: .*sampling\.json .*the floors .* To write it again, run: python sampling\.py$"
CHANGED_SAMPLES = r"samples\.csv was changed after sampling\.py wrote it"
REPAIRED = every(AGAIN, folder=blocked("preprocessing"))

ARTEFACTS = {
    "samples.csv": every(
        stops(r"samples\.csv (is damaged|has ).* To write it again", "sampling"),
        missing=stops(r"samples\.csv is missing", "sampling"),
        folder=stops(r"samples\.csv is missing", "sampling"),
        a_bit_flipped=differs(CHANGED_SAMPLES),
        another_data_sets=differs(CHANGED_SAMPLES),
    ),
    "sampling.json": every(
        differs(FLOORS), another_data_sets=differs(CHANGED_SAMPLES), older_versions=goes_on()
    ),
    "posters/m007.jpg": every(
        differs("^134 posters in the store, 1 left out$"),
        another_data_sets=differs("^135 posters, 1 of them decoded in this run$"),
    ),
    "store/store.json": every(
        AGAIN,
        missing=goes_on("^135 posters, 135 of them decoded in this run$"),
        folder=blocked("preprocessing"),
        older_versions=AGAIN,
    ),
    "store/images.npy": REPAIRED,
    "store/labels.npy": REPAIRED,
    "store/index.csv": REPAIRED,
    "store/checksums.csv": REPAIRED,
    "store/errors.csv": every(goes_on("is up to date$")),  # no step reads it
}

DECODED = goes_on("^135 posters, [1-9][0-9]* of them decoded in this run$")

# A run that was stopped before it made a store of the decoded posters.
STOPPED_ARTEFACTS = {
    "store/unfinished.jsonl": every(DECODED, folder=blocked("preprocessing")),
    "store/unfinished.npy": every(DECODED, folder=blocked("preprocessing")),
    "posters/m007.jpg": every(
        differs("^134 posters in the store, 1 left out$"),
        another_data_sets=differs("^135 posters, 32 of them decoded in this run$"),
    ),
}

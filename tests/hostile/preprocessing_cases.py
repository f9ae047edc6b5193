"""Step 3: settings, the files of step 2, and the old store."""

from hostile.outcomes import differs, every, goes_on, stops

SETTINGS = {
    "data_dir": {"text"},
    "image_height": set(),
    "image_width": set(),
    "workers": {"None"},
    "cluster": {"None", "text"},
}

NAMES = "images.npy labels.npy index.csv checksums.csv errors.csv store.json checksums.json".split()
AGAIN = goes_on(r"store/.* The store is made again$")
FLOORS = r"^note: .*sampling\.json .*the floors .* To write it again, run: python sampling\.py$"
CHANGED_SAMPLES = r"samples\.csv was changed after sampling\.py wrote it"

ARTEFACTS = {
    "samples.csv": every(
        stops(r"samples\.csv (is damaged|has ).* To write it again", "sampling"),
        missing=stops(r"samples\.csv is missing", "sampling"),
        folder=stops(r"samples\.csv is missing", "sampling"),
        a_bit_flipped=differs(CHANGED_SAMPLES),
        another_data_sets=differs(CHANGED_SAMPLES),
    ),
    "sampling.json": every(differs(FLOORS)),
    "posters/m007.jpg": every(
        differs("^134 posters in the store, 1 left out$"),
        another_data_sets=differs("^135 posters in the store, 0 left out$"),
    ),
    **{f"store/{name}": every(AGAIN) for name in NAMES},
}

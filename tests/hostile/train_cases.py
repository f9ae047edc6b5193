"""Step 4: settings, the store, a stopped training, and the teacher's outputs."""

from hostile.outcomes import blocked, every, goes_on, stops

SETTINGS = {
    "data_dir": {"text"},
    "architecture": set(),
    "epochs": {"None"},
    "batch_size": set(),
    "learning_rate": {"None", "2.5", "10**30"},
    "seed": {"0"},
    "patience": set(),
    "shift": {"0"},
    "crop": {"None", "0"},
    "color": {"None", "0"},
    "ema_momentum": {"None", "0"},
    "soft_targets": {"0"},
    "hints": {"0", "2.5"},
    "fine_tuned": {"None", "text"},
    "words": {"True"},
    "precision": set(),
    "hosts": {"None"},
}

OTHER_STORE = stops("The files in .*store do not belong together", "preprocessing")
OTHER_SAMPLES = stops(r"store was made from another version of .*samples\.csv", "preprocessing")
NO_STORE = stops(r"store\.json is missing", "preprocessing")

# The same for step 5.
STORE_ARTEFACTS = {
    "samples.csv": every(OTHER_SAMPLES, missing=goes_on(), folder=goes_on()),
    "store/store.json": every(
        OTHER_STORE, missing=NO_STORE, folder=NO_STORE, older_versions=OTHER_STORE
    ),
    "store/images.npy": every(OTHER_STORE),
    "store/labels.npy": every(OTHER_STORE),
    "store/index.csv": every(OTHER_STORE),
    "store/checksums.csv": every(OTHER_STORE),
    "store/errors.csv": every(goes_on()),  # no step reads it
}

MADE_AGAIN = goes_on("^making the teacher's outputs: .*(damaged|another|missing)")

ARTEFACTS = STORE_ARTEFACTS | {
    # With a teacher, whose outputs are complete.
    "distillation/targets.npy": every(MADE_AGAIN),
    "distillation/features.npy": every(MADE_AGAIN),
    "distillation/distillation.json": every(MADE_AGAIN),
    "distillation/checksums.json": every(MADE_AGAIN),
    "features/lite2-288x192/CHUNK.npy": every(goes_on()),  # read if a run was stopped
}

DAMAGED = goes_on("^note: .* is damaged: its features are made again$")
DROPPED = goes_on("^note: .*epoch-000001.* are trained again$")
CHECKPOINT = "unfinished/HASH/all/epoch-000001"

# A training that was stopped in its second epoch, and a teacher that was stopped after a chunk.
STOPPED_ARTEFACTS = {
    f"{CHECKPOINT}/state.json": every(DROPPED),
    f"{CHECKPOINT}/best.npz": every(DROPPED),
    f"{CHECKPOINT}/latest.weights.h5": every(DROPPED),
    f"{CHECKPOINT}/checksums.json": every(DROPPED),
    "features/lite2-288x192/CHUNK.npy": every(
        goes_on("^making the teacher's outputs: "),
        a_bit_flipped=DAMAGED,
        another_data_sets=DAMAGED,
        folder=blocked("train"),
    ),
}

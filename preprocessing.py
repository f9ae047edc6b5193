"""Step 3: decode and resize the posters into a NumPy array store.

    python preprocessing.py

Reads   DATA_DIR/samples.csv and DATA_DIR/posters/
Writes  DATA_DIR/store/: images.npy (N, H, W, 3) and labels.npy (N, G), both uint8, a row for each
        poster; index.csv: row, id, split, copies; errors.csv: posters that could not be decoded
        and are left out; checksums.csv: id and SHA-256 of each poster; and last store.json: genres
        in order, H, W, N, what the store was made from, and the checksums of the other files
Takes   about 15 s for 15,000 posters on two cores; 45 kB of disk per poster at 150 x 101.

A stopped run resumes. If posters or samples have changed, the pixels of unchanged posters are
copied from the existing store, provided that it has the same image size.
"""

import sys
from pathlib import Path

import postergenres.stopping  # noqa: F401  # first: Ctrl-C is one line from here on
from postergenres.dataset.builder import StoreBuilder, describe_source
from postergenres.dataset.samples import read_samples
from postergenres.old_files import lock_file
from postergenres.old_settings import check_settings
from postergenres.stopping import run_from_shell, stopping_cleanly

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder that sampling.py wrote
IMAGE_HEIGHT = 150  # pixels; larger posters show finer detail and train slower; 320 for a backbone
IMAGE_WIDTH = 101  # pixels; keep about two thirds of the height, the shape of most posters
WORKERS = None  # processes; None for one per core; lower it if memory runs out
CLUSTER = None  # or a Dask scheduler's address, "tcp://192.168.0.1:8786": decodes posters there
# --------------------------------------------------------------------------------------------------


def main(
    data_dir=DATA_DIR,
    image_height=IMAGE_HEIGHT,
    image_width=IMAGE_WIDTH,
    workers=WORKERS,
    cluster=CLUSTER,
):
    """Write the store, or print that it is up to date."""
    settings = check_settings("preprocessing", locals())
    data_dir = Path(data_dir)
    with stopping_cleanly("preprocessing"):
        samples = read_samples(data_dir)
        builder = StoreBuilder(samples, data_dir, describe_source(samples, settings))
        refusal = f"Another run is writing {builder.store}. Wait until it ends, then run this again"
        with lock_file(data_dir / "store.lock", refusal):
            if builder.is_current():
                builder.discard_unfinished()
                print(f"{builder.store} is up to date\nnext: python train.py")
                return
            checksums, errors = builder.decode_posters(workers, cluster)
            if not samples.equals(read_samples(data_dir)):
                sys.exit("samples.csv was changed during this run. Run: python preprocessing.py")
            builder.finish(checksums, errors)


if __name__ == "__main__":
    run_from_shell(main)

"""Step 3: decode and resize the posters into a NumPy array store.

    python preprocessing.py

Reads   DATA_DIR/samples.csv and DATA_DIR/posters/
Writes  DATA_DIR/store/: images.npy (N, H, W, 3) and labels.npy (N, G), both uint8, each poster
        once; index.csv: row, id, split, copies; errors.csv: posters that do not decode, left out;
        checksums.csv: id and SHA-256 of each poster; and last store.json: genres in order, H, W, N
        and what the store was made from
Takes   about 15 s for 15,000 posters on two cores; 45 kB of disk per poster at 150 x 101.

Stopped at any moment and run again it goes on from what is done. What an earlier store has of the
same posters in the same size is taken from there.
"""

import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from postergenres.dataset.builder import discard_unfinished, finish, is_current, write_images
from postergenres.dataset.decoding import DECODER
from postergenres.files import file_sha256, lock_file
from postergenres.parallel.dask import check_address

# pandas, and sampling.py which imports it, are imported in the functions that need them: each
# process of the pool imports this script, and starts in 0.3 s without them, in 0.9 s with them.

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder that sampling.py wrote
IMAGE_HEIGHT = 150  # pixels; the CNN learns finer detail from larger posters, and trains slower
IMAGE_WIDTH = 101  # pixels; keep about two thirds of the height, as posters are
WORKERS = None  # processes; None takes one per core
CLUSTER = None  # or a Dask scheduler's address, "tcp://192.168.0.1:8786", whose workers then decode
# --------------------------------------------------------------------------------------------------


def main(
    data_dir=DATA_DIR,
    image_height=IMAGE_HEIGHT,
    image_width=IMAGE_WIDTH,
    workers=WORKERS,
    cluster=CLUSTER,
):
    """Write the store, or say that it is up to date."""
    from postergenres.dataset.samples import read_samples, read_train_counts

    if min(image_height, image_width) < 1:
        raise ValueError(f"the image size must be positive, got {image_height} x {image_width}")
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be None or at least 1, got {workers!r}")
    check_address(cluster)
    samples, store = read_samples(data_dir), Path(data_dir) / "store"
    made_from = {
        "genres": sorted({genre for cell in samples["genres"] for genre in cell.split("|")}),
        "train": read_train_counts(data_dir),
        "H": image_height,
        "W": image_width,
        "samples_sha256": file_sha256(Path(data_dir) / "samples.csv"),
        "decoder": DECODER,
    }
    busy = f"Another run is writing {store}. When it has ended, run this one again"
    try:
        with lock_file(Path(data_dir) / "store.lock", busy):
            if is_current(data_dir, samples["id"], made_from):
                discard_unfinished(store)
                print(f"{store} is up to date\nnext: python train.py")
                return
            store.mkdir(exist_ok=True)
            checksums, errors = write_images(samples["id"], data_dir, made_from, workers, cluster)
            if not samples.equals(read_samples(data_dir)):
                sys.exit("samples.csv has changed meanwhile. Run: python preprocessing.py")
            finish(samples.assign(sha256=checksums, error=errors), store, made_from)
    except KeyboardInterrupt:
        print("Stopped. To go on from here, run: python preprocessing.py", file=sys.stderr)
        sys.exit(130)
    except BrokenProcessPool:
        sys.exit(
            "A process was killed, perhaps for want of memory. With fewer WORKERS in "
            "preprocessing.py, go on with: python preprocessing.py"
        )
    except OSError as error:  # a full disk, a folder that may not be written
        sys.exit(f"Stopped: {error}. When that is mended, go on with: python preprocessing.py")


# --- images ---------------------------------------------------------------------------------------


# --- from posters to a store ----------------------------------------------------------------------


if __name__ == "__main__":
    main()

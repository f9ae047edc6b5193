"""Step 3: decode and resize the posters into a NumPy array store.

    python preprocessing.py

Reads   DATA_DIR/samples.csv and DATA_DIR/posters/
Writes  DATA_DIR/store/: images.npy (N, H, W, 3) and labels.npy (N, G), both uint8, a row for each
        poster; index.csv: row, id, split, copies; errors.csv: posters that could not be decoded
        and are left out; checksums.csv: id and SHA-256 of each poster; store.json: genres in
        order, H, W, N, and what the store was made from
Takes   about 5 s for 15,000 posters on two cores; 45 kB of disk per poster at 150 x 101.

The new store is written beside the old one. If nothing has changed, it is not made again.
"""

from pathlib import Path

from postergenres.dataset.builder import build_store, describe_source, is_up_to_date
from postergenres.dataset.samples import read_samples
from postergenres.parallel import open_executor
from postergenres.settings import Folder, Side, Text, Workers, checked, run_from_shell
from postergenres.step import step

# --- settings -------------------------------------------------------------------------------------
DATA_DIR = "data"  # the folder that sampling.py wrote
IMAGE_HEIGHT = 150  # pixels; larger posters show finer detail and train slower; 320 for a backbone
IMAGE_WIDTH = 101  # pixels; keep about two thirds of the height, the shape of most posters
WORKERS = None  # processes; None for one per core; lower it if memory runs out
CLUSTER = None  # or a Dask scheduler's address, "tcp://192.168.0.1:8786": decodes posters there
# --------------------------------------------------------------------------------------------------


@checked
def main(
    data_dir: Folder = DATA_DIR,
    image_height: Side = IMAGE_HEIGHT,
    image_width: Side = IMAGE_WIDTH,
    workers: Workers | None = WORKERS,
    cluster: Text | None = CLUSTER,
) -> None:
    """Write the store, or print that it is up to date."""
    data_dir = Path(data_dir)
    with step("preprocessing", data_dir):
        samples = read_samples(data_dir)
        source = describe_source(samples, data_dir, image_height, image_width)
        if is_up_to_date(samples, source, data_dir):
            print(f"{data_dir / 'store'} is up to date")
            return
        with open_executor(workers, cluster) as executor:
            build_store(samples, source, data_dir, executor)


if __name__ == "__main__":
    run_from_shell(main)

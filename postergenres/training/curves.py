"""Curves for TensorBoard: losses, mAP and macro ROC-AUC of each epoch, and their floors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from postergenres.training.callbacks import Callback, Logs
from postergenres.training.checkpoints import Checkpoints

import keras

ops: Any = keras.ops  # Keras annotates that any result may be None
BINS = 500  # of the logit of a probability; in a bin, labels count as if in random order
LOGITS = 10.0  # the bins cover the logits from -LOGITS to LOGITS


class RankingScores(keras.metrics.Metric):
    """The mAP and the macro ROC-AUC of probabilities, (batch, G), gathered over batches.

    It counts true and other labels by genre and by the logit of their probability, so that the
    validation needs no second pass and memory does not grow with the movies. The scores are those
    of `scores.metrics.score_genres` up to the bins: on 1,274 movies and 23 genres, mAP was 0.1799
    in place of 0.1801. Soft targets count as parts of both labels.
    """

    def __init__(self, genres: int) -> None:
        super().__init__(name="ranking")
        self.genres = genres
        self.positives, self.negatives = (
            self.add_weight(shape=(genres * BINS,), initializer="zeros", name=name)
            for name in ("positives", "negatives")
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        labels, probabilities = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        logits = ops.log(probabilities + 1e-9) - ops.log(1 - probabilities + 1e-9)
        bins = ops.cast((logits / LOGITS + 1) / 2 * BINS, "int32")
        bins = ops.clip(bins, 0, BINS - 1) + BINS * ops.arange(self.genres, dtype="int32")
        weights = ops.ones_like(labels)
        if sample_weight is not None:
            weights = weights * ops.reshape(ops.cast(sample_weight, "float32"), (-1, 1))
        for counts, values in ((self.positives, labels), (self.negatives, 1 - labels)):
            flat = ops.reshape(values * weights, (-1,)), ops.reshape(bins, (-1,))
            counts.assign_add(ops.segment_sum(*flat, num_segments=self.genres * BINS))

    def result(self) -> dict[str, Any]:
        shape = (self.genres, BINS)
        positives, negatives = (
            ops.flip(ops.reshape(ops.convert_to_tensor(counts), shape), axis=1)
            for counts in (self.positives, self.negatives)
        )  # the most probable bin first
        true, false = ops.cumsum(positives, axis=1), ops.cumsum(negatives, axis=1)
        movies, others = true[:, -1], false[:, -1]
        hits, misses = true - (positives - 1) / 2, false - negatives / 2  # amid a bin, on average
        precision = ops.divide_no_nan(hits, hits + misses)
        average_precision = ops.divide_no_nan(ops.sum(positives * precision, axis=1), movies)
        above = ops.sum(negatives * (true - positives / 2), axis=1)
        roc_auc = ops.divide_no_nan(above, movies * others)
        return {
            "mAP": mean_of(average_precision, movies > 0),
            "macro_roc_auc": mean_of(roc_auc, ops.logical_and(movies > 0, others > 0)),
        }


def mean_of(scores: Any, is_defined: Any) -> Any:
    """Return the mean of the scores, (G,), that are defined; 0 if there are none."""
    weights = ops.cast(is_defined, scores.dtype)
    return ops.divide_no_nan(ops.sum(scores * weights), ops.sum(weights))


class Curves(Callback):
    """Write the logs of the epochs of a stage for TensorBoard, in the list after `checkpoints`.

    A resumed stage writes those of its earlier epochs again, so that its curves are whole. The runs
    are train, validation and floor; `floor` has the scores of the prior by their names in the logs.
    `start` is the number of the first epoch, from 0.
    """

    def __init__(
        self, folder: Path, checkpoints: Checkpoints, start: int, floor: Mapping[str, float]
    ) -> None:
        super().__init__()
        self.folder, self.checkpoints, self.floor = folder, checkpoints, floor
        self.start, self.written = start, 0

    def on_train_begin(self, logs: Logs = None) -> None:
        import tensorflow as tf  # here, because JAX trains without it

        self.writers = {
            run: tf.summary.create_file_writer(str(self.folder / run))
            for run in ("train", "validation", "floor")
        }
        self.write()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.write()

    def on_train_end(self, logs: Logs = None) -> None:
        for writer in self.writers.values():
            writer.close()

    def write(self) -> None:
        """Write the logs of the epochs that are not written yet."""
        for logs in self.checkpoints.epochs[self.written :]:
            self.written += 1
            runs = {"train": {}, "validation": {}, "floor": self.floor}
            for name, value in logs.items():
                run = "validation" if name.startswith("val_") else "train"
                runs[run][name.removeprefix("val_")] = value
            for run, values in runs.items():
                self.write_run(run, values)

    def write_run(self, run: str, values: Mapping[str, float]) -> None:
        """Write values of the last epoch, numbered as in history.csv."""
        import tensorflow as tf

        with self.writers[run].as_default():
            for name, value in values.items():
                tf.summary.scalar(f"epoch_{name}", value, step=self.start + self.written)
        self.writers[run].flush()

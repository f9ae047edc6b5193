"""The method of the study, which the benchmarks compare with."""


def decode(path, height, width):
    """Read a poster as the study did.

    Args:
        path: the image file.
        height, width: pixels of the result.

    Returns:
        float64 (height, width, 3), 0 to 1.
    """
    import imageio.v2  # here and below, because bench_training.py runs without these libraries, too
    import skimage.transform

    return skimage.transform.resize(imageio.v2.imread(path), (height, width, 3))


def build(height, width, genres):
    """Build the study's network for posters of `decode`, compiled with the Adagrad of 2018's Keras.

    The study also divided the pixels by 255 a second time, by mistake. That is left out here, since
    with it the network learns only the prior.

    Args:
        height, width: pixels of a poster.
        genres: number of genres.

    Returns:
        The compiled Keras model.
    """
    from model import build_network, keras

    inputs = keras.Input((height, width, 3))
    x = inputs
    for layer in build_network("study", height, width, genres).layers[2:]:  # without the rescaling
        x = layer(x)
    network = keras.Model(inputs, x)
    adagrad = keras.optimizers.Adagrad(0.01, initial_accumulator_value=0.0)
    network.compile(adagrad, "binary_crossentropy")
    return network

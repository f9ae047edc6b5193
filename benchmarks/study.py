"""What the study did, for the benchmarks to compare with."""


def decode(path, height, width):
    """A poster as the study read it: floats of 0 to 1, (height, width, 3)."""
    import imageio.v2
    import skimage.transform

    return skimage.transform.resize(imageio.v2.imread(path), (height, width, 3))


def build(height, width, genres):
    """The study's network for such posters, compiled with Adagrad as Keras had it in 2018.

    The study divided the pixels by 255 once more, by mistake; then it learns nothing but the prior.
    """
    from model import build_network, keras

    inputs = keras.Input((height, width, 3))
    x = inputs
    for layer in build_network("study", height, width, genres).layers[2:]:  # without the scaling
        x = layer(x)
    network = keras.Model(inputs, x)
    adagrad = keras.optimizers.Adagrad(0.01, initial_accumulator_value=0.0)
    network.compile(adagrad, "binary_crossentropy")
    return network

"""The layer names that Grad-CAM looks up; each function that builds a network sets them."""

# The last feature maps, the ones of the heat map. Every network has this layer.
GRAD_CAM_MAPS = "grad_cam_maps"

# Batch normalization to apply to the maps, if the network pools between convolution and
# normalization.
GRAD_CAM_NORMALIZATION = "grad_cam_normalization"

# The activations that the gradient refers to, if they are not the output of the maps' layer. Saved
# models have the name; only the tests look it up, to compare with TensorFlow's gradients.
GRAD_CAM_ACTIVATIONS = "grad_cam_activations"

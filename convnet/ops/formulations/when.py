"""When a formulation can compute a layer (`fits`), and when it pays.

The bounds come from trials on one CPU and one GPU.
"""

from __future__ import annotations

from convnet.ops.formulations import direct, products, winograd
from convnet.ops.formulations.layer import Layer

# --- fits -------------------------------------------------------------------------------------------------------------


def one_group(layer: Layer) -> bool:
    return layer.groups == 1 and layer.forward and 0 not in (layer.n, layer.c, layer.k)


def one_group_in_chunks(layer: Layer) -> bool:
    return one_group(layer) and layer.divisible


def one_channel_per_group(layer: Layer) -> bool:
    return layer.groups == layer.c > 1 and layer.forward and layer.n != 0


def one_channel_in_chunks(layer: Layer) -> bool:
    return one_channel_per_group(layer) and layer.divisible


def undilated(layer: Layer) -> bool:
    return one_group(layer) and layer.dilation == 1


def strips_fit(layer: Layer) -> bool:
    """Filtered sums cancel: what a window or a tap that reads nothing but padding gives would be 0 to rounding only."""
    rows = layer.rows
    if not (undilated(layer) and layer.divisible and layer.stride == 1 and rows.kernel in winograd.HEIGHTS):
        return False
    return bool(rows.real.any(0).all() and rows.real.any(1).all())


def always(layer: Layer) -> bool:
    return True


ONE_CHANNEL = dict(fits=one_channel_per_group, needs="one channel per group, and more than one group")
ONE_CHANNEL_IN_CHUNKS = dict(
    fits=one_channel_in_chunks, needs="one channel per group, more than one group, and a batch of known size"
)
GROUPS = dict(fits=lambda layer: layer.groups > 1, needs="more than one group")
UNDILATED = dict(fits=undilated, needs="one group and dilation 1")
STRIPS = dict(
    fits=strips_fit,
    needs="one group, a kernel of 3 to 5 rows, stride and dilation 1, rows of the image in every window and under "
    "every tap, and a batch of known size",
)
ONE_TAP = dict(
    fits=lambda layer: one_group(layer) and layer.kernel == (1, 1), needs="one group and a 1×1 kernel", vmapped=always
)
PLAIN = dict(fits=one_group, needs="one group")
IN_CHUNKS = dict(fits=one_group_in_chunks, needs="one group and a batch of known size")
ANY = dict(fits=always, needs="nothing")


# --- pays -------------------------------------------------------------------------------------------------------------


def winograd_pays(layer: Layer) -> bool:
    values = winograd.values_per_image(layer.rows, layer.cols, layer.c, layer.k)
    return strips_pay(layer, least=60) and values <= 2 * winograd.BUDGET


def winograd_sums(layer: Layer) -> bool:
    """For dL/dw, whose patches of five rows and columns take as long as is saved."""
    values = winograd.gradient_values_per_image(layer.rows, layer.cols, layer.c, layer.k)
    return layer.rows.kernel == 3 and strips_pay(layer, least=40) and values <= 4 * winograd.SUMS_BUDGET


def strips_pay(layer: Layer, least: float) -> bool:
    """Where at least so many products are saved for each transformed value."""
    return layer.pixels >= 512 and winograd.saving(layer.rows, layer.cols, layer.c, layer.k) >= least


def eigen_pays(layer: Layer) -> bool:
    # With 16 channels or fewer on both sides XLA asks Eigen by itself, and YNNPACK is the better one where one side has
    # few, as first layers have.
    return layer.narrow >= 16 and max(layer.c, layer.k) > 16


def few_terms(layer: Layer, limit: int) -> bool:
    """Whether a window holds few enough elements to look at each by itself."""
    return layer.c <= 4 and layer.c * layer.kernel[0] * layer.kernel[1] <= limit


def tap_sums_pay(layer: Layer) -> bool:
    # Of pairs, the results of XLA's convolution would be copied to a stack, which takes as long.
    return (layer.k <= 16 and few_terms(layer, 75)) or (layer.paired and few_terms(layer, 32))


def col2im_pays(layer: Layer) -> bool:
    shares = layer.places * layer.rows.kernel * layer.cols.kernel * layer.c
    return layer.stride == 1 and few_terms(layer, 75) and shares <= 4 * products.SHARES


def few_phases(layer: Layer) -> bool:
    return layer.stride <= layer.c


def eigen_sums(layer: Layer) -> bool:
    """For dL/dw by a convolution, whose channels are the images of a chunk."""
    images = direct.images_at_once(layer.n, layer.rows, layer.cols, layer.c, layer.k)
    return images >= 8 and layer.k > 16 and layer.kernel != (1, 1)


def enough_for_products(layer: Layer) -> bool:
    return layer.pixels >= 512


def patches_fit(layer: Layer) -> bool:
    patches = layer.places * layer.rows.kernel * layer.cols.kernel * layer.c
    return enough_for_products(layer) and layer.kernel != (1, 1) and patches <= 4 * products.BUDGET


# Elsewhere a pair keeps the device busy for less time than it takes to start the next, unless it is large. The bounds
# come from 64 pairs of the layers of two small networks on one GPU.


def patch_values(layer: Layer) -> int:
    return layer.pixels * layer.kernel[0] * layer.kernel[1] * layer.c


def pairs_at_once(layer: Layer) -> bool:
    return layer.paired and layer.sized and patch_values(layer) <= 2**25


def small_pairs(layer: Layer) -> bool:
    return layer.paired and layer.sized and patch_values(layer) <= 2**21


def pairs_of_few_terms(layer: Layer) -> bool:
    return pairs_at_once(layer) and few_terms(layer, 32)


def large_one_by_one(layer: Layer) -> bool:
    return one_channel_per_group(layer) or pairs_at_once(layer)


def one_product(layer: Layer) -> bool:
    return layer.kernel == (1, 1) or pairs_at_once(layer)

"""When a formulation can compute a problem (`fits`), and when it pays.

The bounds come from trials on one CPU and one GPU.
"""

from __future__ import annotations

from convnet.ops.formulations import direct, products, winograd
from convnet.ops.formulations.problem import Problem

# --- fits -------------------------------------------------------------------------------------------------------------


def one_group(problem: Problem) -> bool:
    return problem.groups == 1 and problem.forward and 0 not in (problem.n, problem.c, problem.k)


def one_group_in_chunks(problem: Problem) -> bool:
    return one_group(problem) and problem.divisible


def one_channel_per_group(problem: Problem) -> bool:
    return problem.groups == problem.c > 1 and problem.forward and problem.n != 0


def one_channel_in_chunks(problem: Problem) -> bool:
    return one_channel_per_group(problem) and problem.divisible


def undilated(problem: Problem) -> bool:
    return one_group(problem) and problem.dilation == 1


def strips_fit(problem: Problem) -> bool:
    """Filtered sums cancel: what a window or a tap that reads nothing but padding gives would be 0 to rounding only."""
    rows = problem.rows
    if not (undilated(problem) and problem.divisible and problem.stride == 1 and rows.kernel in winograd.HEIGHTS):
        return False
    return bool(rows.real.any(0).all() and rows.real.any(1).all())


def always(problem: Problem) -> bool:
    return True


ONE_CHANNEL = dict(fits=one_channel_per_group, needs="one channel per group, and more than one group")
ONE_CHANNEL_IN_CHUNKS = dict(
    fits=one_channel_in_chunks, needs="one channel per group, more than one group, and a batch of known size"
)
GROUPS = dict(fits=lambda problem: problem.groups > 1, needs="more than one group")
UNDILATED = dict(fits=undilated, needs="one group and dilation 1")
STRIPS = dict(
    fits=strips_fit,
    needs="one group, a kernel of 3 to 5 rows, stride and dilation 1, rows of the image in every window and under "
    "every tap, and a batch of known size",
)
ONE_TAP = dict(
    fits=lambda problem: one_group(problem) and problem.kernel == (1, 1),
    needs="one group and a 1×1 kernel",
    vmapped=always,
)
PLAIN = dict(fits=one_group, needs="one group")
IN_CHUNKS = dict(fits=one_group_in_chunks, needs="one group and a batch of known size")
ANY = dict(fits=always, needs="nothing")


# --- pays -------------------------------------------------------------------------------------------------------------


def winograd_pays(problem: Problem) -> bool:
    values = winograd.values_per_image(problem.rows, problem.cols, problem.c, problem.k)
    return strips_pay(problem, least=60) and values <= 2 * winograd.BUDGET


def winograd_sums(problem: Problem) -> bool:
    """For dL/dw, whose patches of five rows and columns take as long as is saved."""
    values = winograd.gradient_values_per_image(problem.rows, problem.cols, problem.c, problem.k)
    return problem.rows.kernel == 3 and strips_pay(problem, least=40) and values <= 4 * winograd.SUMS_BUDGET


def strips_pay(problem: Problem, least: float) -> bool:
    """Where at least so many products are saved for each transformed value."""
    return problem.pixels >= 512 and winograd.saving(problem.rows, problem.cols, problem.c, problem.k) >= least


def eigen_pays(problem: Problem) -> bool:
    # With 16 channels or fewer on both sides XLA asks Eigen by itself, and YNNPACK is the better one where one side has
    # few, as first layers have.
    return problem.narrow >= 16 and max(problem.c, problem.k) > 16


def few_terms(problem: Problem, limit: int) -> bool:
    """Whether a window holds few enough elements to look at each by itself."""
    return problem.c <= 4 and problem.c * problem.kernel[0] * problem.kernel[1] <= limit


def tap_sums_pay(problem: Problem) -> bool:
    # Of pairs, the results of XLA's convolution would be copied to a stack, which takes as long.
    return (problem.k <= 16 and few_terms(problem, 75)) or (problem.paired and few_terms(problem, 32))


def col2im_pays(problem: Problem) -> bool:
    shares = problem.places * problem.rows.kernel * problem.cols.kernel * problem.c
    return problem.stride == 1 and few_terms(problem, 75) and shares <= 4 * products.SHARES


def few_phases(problem: Problem) -> bool:
    return problem.stride <= problem.c


def eigen_sums(problem: Problem) -> bool:
    """For dL/dw by a convolution, whose channels are the images of a chunk."""
    images = direct.images_at_once(problem.n, problem.rows, problem.cols, problem.c, problem.k)
    return images >= 8 and problem.k > 16 and problem.kernel != (1, 1)


def enough_for_products(problem: Problem) -> bool:
    return problem.pixels >= 512


def patches_fit(problem: Problem) -> bool:
    patches = problem.places * problem.rows.kernel * problem.cols.kernel * problem.c
    return enough_for_products(problem) and problem.kernel != (1, 1) and patches <= 4 * products.BUDGET


# Elsewhere a pair keeps the device busy for less time than it takes to start the next, unless it is large. The bounds
# come from 64 pairs of the layers of two small networks on one GPU.


def patch_values(problem: Problem) -> int:
    return problem.pixels * problem.kernel[0] * problem.kernel[1] * problem.c


def pairs_at_once(problem: Problem) -> bool:
    return problem.paired and problem.sized and patch_values(problem) <= 2**25


def small_pairs(problem: Problem) -> bool:
    return problem.paired and problem.sized and patch_values(problem) <= 2**21


def pairs_of_few_terms(problem: Problem) -> bool:
    return pairs_at_once(problem) and few_terms(problem, 32)


def large_one_by_one(problem: Problem) -> bool:
    return one_channel_per_group(problem) or pairs_at_once(problem)


def one_product(problem: Problem) -> bool:
    return problem.kernel == (1, 1) or pairs_at_once(problem)

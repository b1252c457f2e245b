"""Is back-propagation nothing but the upstream gradient times the local one, also through a convolution?

    python experiments/claims/backpropagation_multiplies_local_gradients.py        10 seconds

Yes, to rounding. In a small graph with every number written on it, and in a hundred random ones whose values are used
again and again, the rule gives what autodiff gives, to 3e-16. Through 30 convolutions with strides and padding it is
scipy's full convolution with the kernel turned by 180 degrees, to 4e-16; with the kernel not turned it is off by 144 %.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from scipy import signal

from convnet import HAND
from convnet.claims import Claim, Effort, Evidence, apart, at_least, at_most, mean_of, run_claim
from convnet.ops import windows
from convnet.report import Picture, figures

CLAIM = Claim(
    number=10,
    title="Back-propagation is upstream gradient times local gradient",
    says="A node of a graph multiplies the gradient that comes from above by its own slope and passes it on; where a "
    "value is used twice, gradients add. A convolution passes on a full convolution, its kernel turned by 180°.",
    source="Rumelhart, Hinton & Williams, Nature 1986, 'Learning representations by back-propagating errors'; the "
    "drawn graph is that of Karpathy, Stanford CS231n 2015, notes 'Backpropagation, intuitions'",
)
ROUNDING = 1e-12  # relative, of some hundred operations in float64
OPS = {
    "+": (lambda a, b: a + b, lambda a, b: (1.0, 1.0)),
    "×": (lambda a, b: a * b, lambda a, b: (b, a)),
    "max": (jnp.maximum, lambda a, b: (1.0 * (a > b), 1.0 * (b >= a))),
    "σ": (jax.nn.sigmoid, lambda a: (jax.nn.sigmoid(a) * (1 - jax.nn.sigmoid(a)),)),
    "tanh": (jnp.tanh, lambda a: (1 - jnp.tanh(a) ** 2,)),
}
"""What a node computes, and its slope in each of its inputs."""
Graph = list[tuple[str, tuple[int, ...]]]
"""Of each node its op and the numbers of its inputs, which come before it; leaves are numbered first."""
NEURON: Graph = [("×", (0, 1)), ("×", (2, 3)), ("+", (5, 6)), ("+", (7, 4)), ("σ", (8,))]
LEAVES = {"w0": 2.0, "x0": -1.0, "w1": -3.0, "x1": -2.0, "w2": -3.0}
PLACES = [(0, 4), (0, 3), (0, 2), (0, 1), (0, 0), (1.3, 3.5), (1.3, 1.5), (2.6, 2.5), (3.9, 1.25), (5.2, 1.25)]


def forward(graph: Graph, leaves) -> list:
    values = list(leaves)
    for op, inputs in graph:
        values.append(OPS[op][0](*(values[i] for i in inputs)))
    return values


def backward(graph: Graph, values: list) -> list[float]:
    """The gradient of the last value in each: from the end on, upstream × local, added where they meet."""
    upstream = [0.0] * (len(values) - 1) + [1.0]
    for node, (op, inputs) in reversed(list(enumerate(graph, start=len(values) - len(graph)))):
        for i, local in zip(inputs, OPS[op][1](*(values[i] for i in inputs)), strict=True):
            upstream[i] += float(upstream[node] * local)
    return upstream


def graph_error(graph: Graph, leaves: np.ndarray) -> tuple[float, float]:
    """Largest difference to `jax.grad` in the leaves; the same over the largest gradient, or over 1 if it is small."""
    expected = np.asarray(jax.grad(lambda leaves: forward(graph, leaves)[-1])(jnp.asarray(leaves)))
    off = np.abs(np.array(backward(graph, forward(graph, leaves))[: len(leaves)]) - expected).max()
    return float(off), float(off / max(np.abs(expected).max(), 1))


def random_graph(seed: int) -> tuple[Graph, np.ndarray]:
    """Twelve nodes over four leaves; a node may take any before it, so values are used again and again."""
    rng, graph, leaves = np.random.default_rng(seed), [], np.random.default_rng(seed + 1000).normal(size=4)
    for node in range(4, 16):
        op = str(rng.choice(list(OPS)))
        graph.append((op, tuple(map(int, rng.integers(0, node, 1 if op in ("σ", "tanh") else 2)))))
    return graph, leaves


def through_convolution(g: np.ndarray, kernel: np.ndarray, size: int, stride: int, low: int) -> np.ndarray:
    """dL/dx of one image, by scipy: gaps of the stride's width in g, a full convolution per channel, and the cut of
    what lies in the padding. g: [OH, OW, K], kernel: [KH, KW, C, K] -> [size, size, C]."""
    gaps = np.zeros((stride * (len(g) - 1) + 1, stride * (len(g) - 1) + 1, g.shape[2]))
    gaps[::stride, ::stride] = g
    found = np.zeros((size + 2 * len(kernel) + stride, size + 2 * len(kernel) + stride, kernel.shape[2]))
    for c, k in np.ndindex(kernel.shape[2:]):
        full = signal.convolve2d(gaps[..., k], kernel[..., c, k], mode="full")
        found[: len(full), : len(full), c] += full
    return found[low : low + size, low : low + size]


def convolution_errors(seed: int) -> tuple[float, float, float]:
    """Relative, beside the library: of the gradient in the image, the same with a kernel that is not turned, and of the
    gradient in the kernel (without stride and padding), which is the image correlated with g."""
    rng, plain = np.random.default_rng(seed), seed % 2 == 0
    size, side, c, k, stride = map(int, rng.integers((6, 2, 1, 1, 1), (12, 5, 4, 4, 4)))
    stride, padding = (1, "VALID") if plain else (stride, str(rng.choice(["SAME", "VALID"])))
    x, kernel = rng.normal(size=(1, size, size, c)), rng.normal(size=(side, side, c, k))
    rows, _ = windows((size, size), (side, side), stride=stride, padding=padding)
    g = rng.normal(size=(1, rows.output, rows.output, k))
    pull = jax.jit(lambda x, w, g: jax.vjp(lambda x, w: HAND.conv2d(x, w, stride=stride, padding=padding), x, w)[1](g))
    dx, dw = map(np.asarray, pull(x, kernel, g))
    turned, straight = (through_convolution(g[0], w, size, stride, rows.lo) for w in (kernel, kernel[::-1, ::-1]))
    by_scipy = [[signal.correlate2d(x[0, ..., i], g[0, ..., j], mode="valid") for j in range(k)] for i in range(c)]
    of_kernel = apart(np.array(by_scipy).transpose(2, 3, 0, 1), dw) if plain else 0.0
    return apart(turned, dx[0]), apart(straight, dx[0]), of_kernel


def graph_picture() -> Picture:
    """On the edge that leaves a node, its value and the gradient in it."""
    values = forward(NEURON, LEAVES.values())
    told = [(f"{float(v):.2f}", f"{g:.2f}") for v, g in zip(values, backward(NEURON, values), strict=True)]
    ends = {i: PLACES[len(LEAVES) + n] for n, (_, inputs) in enumerate(NEURON) for i in inputs} | {9: (6.5, 1.25)}
    nodes = list(zip([*LEAVES, *(op for op, _ in NEURON)], PLACES, strict=True))
    labels = {"value, forward": (4.2, 4), "gradient of L in it, backward": (4.2, 3.6), "L": (6.5, 1.25)}
    edges = [(node, ends[node], *told[node]) for node in range(len(nodes))]
    return Picture(
        "a graph with every number", figures.graph(nodes, edges, labels, size=(9, 5)),
        alt="A graph of two products, two sums and a sigmoid; on each edge a value above and a gradient below.",
        caption="L = σ(w0·x0 + w1·x1 + w2). A sum passes the gradient on, a product multiplies it by the other factor: "
        "0.20 = 0.20 × 1, −0.39 = 0.20 × (−2). Were the rule wrong, these would not be the slopes that autodiff finds.",
    )  # fmt: skip


def convolution_picture() -> Picture:
    kernel, g = np.arange(1.0, 10.0).reshape(3, 3), np.zeros((4, 4))
    g[0, 0], g[2, 3] = 1, -1
    panels = {"kernel": kernel, "gradient from above": g, "gradient passed on": signal.convolve2d(g, kernel)}
    alike = {"xlim": (-0.5, 5.5), "ylim": (5.5, -0.5)}  # as many cells, so that they are of one size
    row = [figures.Image(array, name, "RdBu_r", -12, 12, write="{:.0f}", dark=8, axes=alike, framed=False)
           for name, array in panels.items()]  # fmt: skip
    return Picture(
        "a convolution backward", figures.images([row], size=(8, 2.9)), of_images=True,
        alt="A kernel with the numbers 1 to 9, a gradient with 1 and −1 at two places, and the gradient passed on: the "
        "kernel at one place and its negative at the other.",
        caption="Each output sends its gradient back along the weights by which it came. As an output gathers its "
        "inputs through the kernel, an input gathers from the outputs through the kernel turned by 180°.",
    )  # fmt: skip


def measure(effort: Effort) -> Evidence:
    with jax.enable_x64(True):
        drawn, _ = graph_error(NEURON, np.array(list(LEAVES.values())))
        graphs = [graph_error(*random_graph(seed))[1] for seed in range(effort.pick(100, 5))]
        errors = np.array([convolution_errors(seed) for seed in range(effort.pick(30, 4))])
    off = "largest relative difference"
    found = at_most(ROUNDING, {
        "the drawn graph has the gradients of autodiff: largest difference": drawn,
        f"so have {len(graphs)} random graphs, whose values are used again: {off}": max(graphs),
        f"through {len(errors)} convolutions, strides and padding included: {off} from scipy's full convolution":
            errors[:, 0].max(),
        f"the kernel's gradient is the image correlated with the gradient from above: {off}": errors[::2, 2].max(),
    }) + at_least(0.1, {
        "turning matters: relative difference of a kernel that is not turned": mean_of(errors[:, 1], "layers"),
    })  # fmt: skip
    text = "experiments/backprop_by_hand.py goes on from here to whole networks."
    return Evidence(found, [graph_picture(), convolution_picture()], text=text)


if __name__ == "__main__":
    sys.exit(run_claim(__file__, CLAIM, measure))

"""Which corners a call of a windowed op turns, by walking its windows: no arithmetic of the ops is used."""

import math

from convnet.gradcheck.evidence.conv.oracle import larger
from convnet.gradcheck.evidence.walk import both, place


def corners(op, args, settings):
    """Names of the corners that a call of a convolution or a pooling turns."""
    axes = axes_of(op, args, settings)
    found = {name for axis in axes for name, turned in of_axis(*axis).items() if turned}
    if axes[0][3] != axes[1][3]:
        found.add("dilation differs")
    if "conv" in op:
        groups, channels = settings.get("groups", 1), args[0].shape[3]
        found.add("groups 1" if groups == 1 else "groups C" if groups == channels else "groups between")
        found.add("no bias" if args[2] is None else "bias")
    if any(both(settings.get("output_padding", 0))):
        found.add("output padding")
    return found


def axes_of(op, args, settings):
    """(size, kernel, stride, dilation, padding) of the rows and of the columns, for the map that reads windows."""
    kernel, sizes = args[1].shape[:2] if "conv" in op else both(settings["window"]), args[0].shape[1:3]
    if op == "conv_transpose2d":
        sizes = larger(sizes, kernel, **{key: value for key, value in settings.items() if key != "groups"})
    stride = settings.get("stride", 1 if "conv" in op else None)
    strides, dilations = both(kernel if stride is None else stride), both(settings.get("dilation", 1))
    padding = settings.get("padding", "SAME" if "conv" in op else "VALID")
    paddings = (padding, padding) if isinstance(padding, str) else [both(side) for side in both(padding)]
    return list(zip(sizes, kernel, strides, dilations, paddings, strict=True))


def of_axis(size, kernel, stride, dilation, padding):
    span = dilation * (kernel - 1) + 1
    count, lo = place(size, span, stride, padding)
    lo_hi = (lo, lo) if isinstance(padding, str) else padding  # not the high side of SAME, which is not looked at
    end = size + lo_hi[1] - 1
    return {
        "remainder": padding != "SAME" and (count - 1) * stride + span - 1 - lo < end,
        "gcd": math.gcd(stride, dilation) > 1 and kernel > 1,
        "asymmetric": lo_hi[0] != lo_hi[1],
        "crops": min(lo_hi) < 0,
        "kernel larger than the image": kernel > size,
        "gaps": stride > span and count > 1,
        "overlap": stride < span and count > 1,
        "SAME": padding == "SAME",
        "SAME, even kernel": padding == "SAME" and kernel % 2 == 0,
    }

"""The arithmetic of receptive fields as a student writes it, right and with a mistake each."""


def right(layers):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        size, start, jump = size + (kernel - 1) * jump, start - padding * jump, jump * stride
    return size, jump, start


def changed(size=None, jump=None, start=None):
    """Right, but for one of the rules."""

    def walk(layers):
        s, j, b = 1, 1, 0
        for kernel, stride, padding in layers:
            s, b, j = (
                size(s, kernel, j, stride) if size else s + (kernel - 1) * j,
                start(b, padding, j, stride) if start else b - padding * j,
                jump(j, stride) if jump else j * stride,
            )
        return s, j, b

    return walk


def backwards(layers):
    return right(layers[::-1])


def one_stride_only(layers):
    size, below = 1, 1
    for kernel, stride, _ in layers:
        size, below = size + (kernel - 1) * below, stride
    return size, *right(layers)[1:]


def updated_too_early(layers):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        jump *= stride
        size, start = size + (kernel - 1) * jump, start - padding * jump
    return size, jump, start


def middle(layers):
    size, jump, start = right(layers)
    return size, jump, start + (size - 1) / 2


def whole_middle(layers):
    size, jump, start = right(layers)
    return size, jump, start + size // 2


def none_for_no_layer(layers):
    kernel, stride, padding = layers[0]
    size, jump, start = kernel, stride, -padding
    for kernel, stride, padding in layers[1:]:
        size, start, jump = size + (kernel - 1) * jump, start - padding * jump, jump * stride
    return size, jump, start


RECEPTIVE_FIELD = {
    changed(size=lambda s, k, j, stride: s + k * j): "where kernels are added, not kernels less 1",
    changed(size=lambda s, k, j, stride: s + k - 1): "where strides do not matter",
    changed(size=lambda s, k, j, stride: s * k): "where kernels are multiplied",
    changed(jump=lambda j, stride: j + stride): "where strides are added",
    changed(jump=lambda j, stride: j + stride - 1): "where strides less 1 are added",
    changed(jump=lambda j, stride: stride): "of the last stride alone",
    changed(start=lambda b, p, j, stride: b): "where padding does not matter",
    changed(start=lambda b, p, j, stride: b - p): "where padding is counted in pixels",
    changed(start=lambda b, p, j, stride: b + p * j): "where padding moves the start inwards",
    changed(start=lambda b, p, j, stride: b - p * j - 1): "Case 2, start: wrong",
    backwards: "the last one first",
    one_stride_only: "where only the stride of the layer below counts",
    updated_too_early: "where a layer's own stride counts",
    middle: "start has dtype float64: expected whole numbers",
    whole_middle: "of the middle of the first field",
    none_for_no_layer: "raises IndexError: tuple index out of range",
}

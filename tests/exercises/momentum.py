"""A step of momentum as a student writes it, right and with a mistake each."""


def right(weights, velocity, gradient, learning_rate, momentum):
    velocity = momentum * velocity + gradient
    return weights - learning_rate * velocity, velocity


def uphill(w, v, g, rate, momentum):
    v = momentum * v + g
    return w + rate * v, v


def old_velocity_used(w, v, g, rate, momentum):
    return w - rate * v, momentum * v + g


def nesterov(w, v, g, rate, momentum):
    v = momentum * v + g
    return w - rate * (g + momentum * v), v


def running_mean(w, v, g, rate, momentum):
    v = momentum * v + (1 - momentum) * g
    return w - rate * v, v


def rate_in_velocity(w, v, g, rate, momentum):
    v = momentum * v + rate * g
    return w - v, v


def downhill_velocity(w, v, g, rate, momentum):
    v = momentum * v - g
    return w + rate * v, v


def in_place(w, v, g, rate, momentum):
    v *= momentum
    v += g
    w -= rate * v
    return w, v


def other_order(w, v, g, rate, momentum):
    v = momentum * v + g
    return v, w - rate * v


def gradient_slowed(w, v, g, rate, momentum):
    v = momentum * (v + g)
    return w - rate * v, v


def no_rate(w, v, g, rate, momentum):
    v = momentum * v + g
    return w - v, v


def no_momentum(w, v, g, rate, momentum):
    return w - rate * g, momentum * v + g


def velocity_kept(w, v, g, rate, momentum):
    return w - rate * (momentum * v + g), v


def weights_only(w, v, g, rate, momentum):
    return w - rate * (momentum * v + g)


MOMENTUM = {
    uphill: "with the weights moved up the gradient",
    old_velocity_used: "where the weights follow the old velocity",
    nesterov: "as Nesterov does it",
    running_mean: "where the gradient has a weight of 1 − momentum",
    rate_in_velocity: "where the learning rate is in the velocity",
    downhill_velocity: "where the velocity points downhill",
    in_place: "Arguments are not to be changed",
    other_order: "in the wrong order: expected weights, velocity",
    gradient_slowed: "where momentum slows the gradient, too",
    no_rate: "without the learning rate",
    no_momentum: "without momentum",
    velocity_kept: "where the old velocity is returned",
    weights_only: "returns one ndarray: expected 2 values, weights, velocity",
}

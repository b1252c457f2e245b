"""`jax.numpy`: functions of two and three numbers, entry by entry."""

from __future__ import annotations

import numpy as np
from mpmath import mp, mpf

from convnet.board import real
from convnet.board.case import Case, at, case
from convnet.board.cases.elementwise_points import FAR_PLANE, PLANE

DIVISIONS = (
    *at("generic", (0.5, 1.7), (7.3, 2.2), (-7.3, 2.2), (7.3, -2.2), (-7.3, -2.2)),
    *at("tail", (300.5, 7.0), (0.5, 300.0), (1e10, 3.3), (-1e-10, 1.0), (1e200, 3e199), (1e-200, 3e-201)),
    *at("tie", (1.5, 1.5), (-1.5, 1.5)),
    *at("zero", (0.0, 1.5), (0.0, -1.5)),
    *at("branch", (6.0, 2.0), (-6.0, 2.0), (1.0, 0.1), (0.6, 0.2), (-1.0, 0.1), (4.35, 0.01)),
)
"""For quotients and remainders. 1 / 0.1 rounds to 10, but 0.1 in binary is more than a tenth of 1."""

POWERS = (
    *at("generic", (0.5, 1.7), (1.3, -0.6), (2.1, 3.3)),
    *at("tail", (1e10, 1.5), (1e-10, 1.5), (300.0, 30.0), (1e-200, 0.5), (1e200, 0.5), (1.0000001, 1e6)),
    *at("branch", (1.0, 0.5), (2.0, 0.0), (2.0, 1.0), (1.7, 2.0)),
    *at("zero", (0.0, 2.0), (0.0, 1.0), (0.0, 1.5), (0.0, 3.0)),
    *at("subnormal", (1e-310, 1.5)),
)
"""Base and exponent, where there is a derivative in both, or will be in the limit."""

POWERS_IN_BASE = (
    *at("branch", (-1.3, 2.0), (-1.3, 3.0), (-1.3, -1.0), (-1.3, 0.0)),
    *at("zero", (0.0, 0.5), (0.0, 0.0)),
)
"""Where there may be one in the base alone."""

QUOTIENTS = tuple(point for point in (*PLANE, *FAR_PLANE) if point.args[1] and point.args != (1.0, 1e-200))
"""Without divisors of 0, and of so little that the derivative in them overflows."""

INTEGER_BASES = (
    *at("generic", -2.3, -0.7, 0.4, 1.6),
    *at("tail", 30.0, 300.0, 1e10, -1e-10),
    *at("zero", 0.0, -0.0),
)
"""For powers of whole exponents."""

BOUNDS = (
    *at("generic", (0.4, -1.0, 1.0), (2.4, -1.0, 1.0), (-2.4, -1.0, 1.0)),
    *at("tie", (1.0, -1.0, 1.0), (-1.0, -1.0, 1.0), (1.0, 1.0, 1.0), (0.3, 1.0, 1.0)),
    *at("branch", (0.4, 1.0, -1.0), (2.4, 1.0, -1.0)),
    *at("tail", (1e200, -1.0, 1.0), (-300.0, -1.0, 1.0)),
)
"""A number and the two ends of an interval; in two of them the ends are exchanged."""


def hypot(x: mpf, y: mpf) -> mpf:
    return mp.sqrt(x**2 + y**2)


def logaddexp2(x: mpf, y: mpf) -> mpf:
    return max(x, y) + mp.log1p(mp.power(2, -abs(x - y))) / mp.ln2


def copysign(x: mpf, sign: mpf) -> mpf:
    return abs(x) if sign >= 0 else -abs(x)


def powers(name: str) -> tuple[Case, ...]:
    """Of a function of that full name."""
    return (
        case(name, real.power, POWERS, args="x, y", wrt=(0, 1), scipy=np.float_power),
        case(name, real.power, POWERS_IN_BASE, args="x, y", wrt=(0,), scipy=np.float_power),
        case(name, real.power, at("zero", (0.0, 0.5)), args="x, y", wrt=(1,), scipy=np.float_power),
    )


def whole_power(n: int, call: str) -> Case:
    points = tuple(point for point in INTEGER_BASES if n >= 0 or point.args[0])
    return case("jax.numpy.power", lambda x: real.power(x, mpf(n)), points, call=call)


def two(name: str, oracle, points, **options) -> Case:
    """Of two numbers, both differentiated."""
    return case(f"jax.numpy.{name}", oracle, points, args="x, y", wrt=(0, 1), scipy=getattr(np, name), **options)


CASES: tuple[Case, ...] = (
    two("add", lambda x, y: x + y, (*PLANE, *FAR_PLANE)),
    two("subtract", lambda x, y: x - y, (*PLANE, *FAR_PLANE)),
    two("multiply", lambda x, y: x * y, (*PLANE, *FAR_PLANE)),
    two("true_divide", lambda x, y: x / y, QUOTIENTS),
    case("jax.numpy.atan2", lambda x, y: mp.atan2(x, y), (*PLANE, *FAR_PLANE), args="x, y", wrt=(0, 1),
         scipy=np.arctan2),
    two("fmax", max, (*PLANE, *FAR_PLANE)),
    two("fmin", min, (*PLANE, *FAR_PLANE)),
    two("hypot", hypot, (*PLANE, *FAR_PLANE)),
    two("logaddexp", real.logaddexp, (*PLANE, *FAR_PLANE)),
    two("logaddexp2", logaddexp2, (*PLANE, *FAR_PLANE)),
    two("maximum", max, (*PLANE, *FAR_PLANE)),
    two("minimum", min, (*PLANE, *FAR_PLANE)),
    two("floor_divide", lambda x, y: mp.floor(x / y), DIVISIONS),
    two("fmod", real.fmod, DIVISIONS),
    two("remainder", real.remainder, DIVISIONS),
    case("jax.numpy.divmod", lambda x, y: mp.floor(x / y), DIVISIONS, args="x, y", wrt=(0, 1),
         call="jnp.divmod(x, y)[0]", scipy=lambda x, y: np.divmod(x, y)[0]),
    case("jax.numpy.divmod", real.remainder, DIVISIONS, args="x, y", wrt=(0, 1),
         call="jnp.divmod(x, y)[1]", scipy=lambda x, y: np.divmod(x, y)[1]),
    *powers("jax.numpy.power"),
    *powers("jax.numpy.float_power"),
    *(whole_power(n, f"jnp.power(x, {n})") for n in (0, 1, 2, 3, -1, -2)),
    *(whole_power(n, f"jnp.power(x, jnp.array({n}))") for n in (0, 1, 2, -2)),
    *(whole_power(n, f"jnp.power(x, {n}.0)") for n in (0, 1, 2)),
    case("jax.numpy.power", lambda y: real.power(mpf(2), y), at("generic", -2.3, 0.4, 3.0), args="y",
         call="jnp.power(2.0, y)"),
    case("jax.numpy.clip", real.clip, BOUNDS, args="x, low, high", wrt=(0, 1, 2), scipy=np.clip),
    case("jax.numpy.copysign", copysign,
         (*at("generic", (0.5, -1.0), (-0.5, -1.0), (1.5, 2.0)), *at("zero", (0.0, 1.0), (1.0, 0.0)),
          *at("tail", (1e200, -1.0), (1e-200, -1.0)), *at("subnormal", (1e-310, -1.0))),
         args="x, y", scipy=np.copysign),
    case("jax.numpy.heaviside", lambda x, y: mpf(0) if x < 0 else (mpf(1) if x > 0 else y),
         (*at("generic", (0.5, 0.3), (-0.5, 0.3)), *at("zero", (0.0, 0.3)), *at("tail", (1e-200, 0.3))),
         args="x, y", wrt=(0, 1), scipy=np.heaviside),
    *(case("jax.numpy.ldexp", lambda x, n=n: x * mpf(2) ** n,
           (*at("generic", -2.3, 0.4), *at("zero", 0.0), *at("tail", 1e200, 1e-200), *at("subnormal", 1e-310)),
           call=f"jnp.ldexp(x, {n})", scipy=lambda x, n=n: np.ldexp(x, n)) for n in (0, 3, -5)),
    case("jax.numpy.select", lambda x, y: x * y if x < y else (x - y if x > 2 else mpf(5)),
         (*at("generic", (0.5, 1.7), (3.1, 0.6), (1.5, 0.2)), *at("tie", (2.5, 2.5))),
         args="x, y", wrt=(0, 1), call="jnp.select([x < y, x > 2], [x * y, x - y], 5.0)"),
    case("jax.numpy.where", lambda x, y: x**2 if x > y else 3 * y,
         (*at("generic", (0.5, 1.7), (3.1, 0.6)), *at("tie", (3.0, 3.0))),
         args="x, y", wrt=(0, 1), call="jnp.where(x > y, x**2, 3 * y)"),
)  # fmt: skip

NOT_COVERED: dict[str, str] = {}

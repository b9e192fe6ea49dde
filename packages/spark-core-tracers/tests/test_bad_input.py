"""What is refused, in words that name the argument, what came and what would do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spark.core.tracers import (
    BaseTracer,
    DoubleExponential,
    DoubleTracer,
    Exponential,
    RUTracer,
    SaturableDoubleTracer,
    SaturableTracer,
    Tracer,
)

from .kinds import every_kind, spikes

REFUSED = [
    (lambda: Tracer(2, 0.0), ValueError, r"tau must be > 0 \(at least 1e-15\), got 0"),
    (lambda: Tracer(2, -3.0), ValueError, r"tau must be > 0 .* got -3"),
    (lambda: Tracer(2, np.nan), ValueError, r"tau must be finite in float32 .*, got nan"),
    (
        lambda: Tracer(2, np.inf),
        ValueError,
        r"tau must be finite in float32 \(and at most 1\.67772e\+07 here\), got inf",
    ),
    (lambda: Tracer(2, 1e-60), ValueError, r"tau must be > 0 .* got 1e-60"),
    (lambda: Tracer(2, [5.0, -1.0]), ValueError, r"tau must be > 0 .* got -1.0 at index \(1,\)"),
    (lambda: DoubleTracer(2, 5.0, 0.0), ValueError, r"tau_2 must be > 0"),
    (lambda: RUTracer(2, -1.0, 5.0, 0.5), ValueError, r"R_tau must be > 0"),
    (lambda: RUTracer(2, 5.0, np.nan, 0.5), ValueError, r"U_tau must be finite"),
    (lambda: Tracer(2, 5.0, dt=0), ValueError, r"dt must be finite and > 0, got 0"),
    (lambda: Tracer(2, 5.0, dt=-1.0), ValueError, r"dt must be finite and > 0, got -1.0"),
    (lambda: Tracer(2, 5.0, dt=np.inf), ValueError, r"dt must be finite and > 0, got inf"),
    (lambda: Tracer(2, 5.0, dt="fast"), TypeError, r"dt must be a number, got 'fast'"),
    (lambda: Tracer(2, 5.0, dt="3"), TypeError, r"dt must be a number, got '3'"),
    (
        lambda: Tracer(2, 5.0, seed=jax.random.split(jax.random.key(0), 3)),
        ValueError,
        r"seed must be one key, got keys of shape \(3,\)",
    ),
    (lambda: Tracer(2, np.longdouble(5)), TypeError, r"tau must be boolean, .* float128"),
    (
        lambda: Tracer(2, np.ones(3)),
        ValueError,
        r"tau of shape \(3,\) does not broadcast to shape \(2,\)",
    ),
    (
        lambda: Tracer(2, 5.0, np.ones((2, 2))),
        ValueError,
        r"scale of shape \(2, 2\) does not broadcast",
    ),
    (lambda: Tracer(2, 5.0, np.nan), ValueError, r"scale must be finite"),
    (lambda: Tracer(2, 5.0, 1, np.inf), ValueError, r"base must be finite"),
    (
        lambda: Tracer(2, 5.0, 1, 1e6),
        ValueError,
        r"base must lie within \[-65504, 65504\], got 1000000.0",
    ),
    (
        lambda: Tracer(2, 5.0 + 1j),
        TypeError,
        r"tau must be boolean, integer or floating, got dtype complex",
    ),
    (lambda: Tracer(2, "5"), TypeError, r"tau must be boolean, integer or floating, got dtype <U1"),
    (
        lambda: Tracer(2, None),
        TypeError,
        r"tau must be boolean, integer or floating, got dtype object",
    ),
    (lambda: Tracer(2, [[1.0], [1.0, 2.0]]), TypeError, r"tau must be an array of numbers"),
    (
        lambda: SaturableTracer(2, 5.0, base=1.5),
        ValueError,
        r"base must lie within \[0, 1\], got 1.5",
    ),
    (
        lambda: SaturableDoubleTracer(2, 5.0, 5.0, base_2=-0.5),
        ValueError,
        r"base_2 must lie within \[0, 1\], got -0.5",
    ),
    (
        lambda: SaturableTracer(2, 5.0, maximum=np.inf),
        ValueError,
        r"maximum must be finite in float64, got inf",
    ),
    (
        lambda: SaturableTracer(2, 5.0, maximum=1e300, dtype="float32"),
        ValueError,
        r"maximum must be finite in float32, got 1e\+300; Tracer has no bounds",
    ),
    (
        lambda: SaturableTracer(2, 5.0, minimum=np.nan),
        ValueError,
        r"minimum must be finite in float64, got nan",
    ),
    (lambda: SaturableTracer(2, 5.0, minimum=2.0), ValueError, r"minimum must be below maximum"),
    (
        lambda: SaturableTracer(2, 5.0, minimum="low"),
        TypeError,
        r"minimum must be a number, got 'low'",
    ),
    (lambda: RUTracer(2, 5.0, 5.0, 1.5), ValueError, r"scale_U must lie in \[0, 1\], got 1.5"),
    (lambda: RUTracer(2, 5.0, 5.0, -0.1), ValueError, r"scale_U must lie in \[0, 1\], got -0.1"),
    (
        lambda: Tracer(2, 0.5, integrator="euler"),
        ValueError,
        r"tau must be at least dt = 1 for Euler, got 0.5",
    ),
    (
        lambda: Tracer(2, 5.0, integrator="rk4"),
        ValueError,
        r"integrator must be one of 'exact', 'euler'",
    ),
    (
        lambda: RUTracer(2, 5.0, 5.0, 0.5, integrator="euler"),
        TypeError,
        r"unknown keyword 'integrator'",
    ),
    (lambda: Tracer(2, 5.0, dtype=jnp.int32), TypeError, r"dtype must be one of float16, bfloat16"),
    (lambda: Tracer(2, 5.0, dtype="float99"), TypeError, r"dtype must be one of float16, bfloat16"),
    (lambda: Tracer(2, 5.0, dtype=jnp.float8_e4m3fn), TypeError, r"dtype must be one of float16"),
    (lambda: Tracer(2, 5.0, dtype=jnp.float64), ValueError, r"jax_enable_x64"),
    (
        lambda: Tracer(2, 3000.0, rounding="nearest"),
        ValueError,
        r"tau must be at most 2047.5 to decay in float16 .*stochastic.* got 3000",
    ),
    (
        lambda: Tracer(2, 300.0, rounding="nearest", dtype=jnp.bfloat16),
        ValueError,
        r"tau must be at most 255.5 to decay in bfloat16",
    ),
    (
        lambda: Tracer(2, 1e9, dtype=jnp.float32),
        ValueError,
        r"tau must be at most 1.67772e\+07 to decay",
    ),
    (lambda: Tracer(2, 1e9), ValueError, r"tau must be at most 1.67772e\+07 to decay in float32"),
    (
        lambda: Tracer(2, 5.0, rounding="up"),
        ValueError,
        r"rounding must be one of 'nearest', 'stochastic'",
    ),
    (
        lambda: Tracer(2, 5.0, tau_m=3),
        TypeError,
        r"Tracer got an unknown keyword 'tau_m'; known ones are",
    ),
    (lambda: Tracer(2, 5.0, minimum=0), TypeError, r"unknown keyword 'minimum'"),
    (lambda: Tracer(2, 5.0, seed="x"), TypeError, r"seed must be an integer or a JAX PRNG key"),
    (
        lambda: Tracer(2, 5.0, trainable=("taw",)),
        ValueError,
        r"trainable must be one of 'tau', 'scale'",
    ),
    (lambda: Tracer(2, 5.0, trainable=None), TypeError, r"trainable must be a sequence of names"),
    (lambda: Tracer(2, 5.0, seed=2**64), ValueError, r"seed must fit in 64 bits"),
    (lambda: Exponential(-1.0), ValueError, r"dt must be finite and > 0, got -1.0"),
    (lambda: DoubleExponential(1.0, "Exact"), ValueError, r"integrator must be one of"),
    (lambda: Exponential(1.0, bounds=(1.0, 0.0)), ValueError, r"minimum must be below maximum"),
    (lambda: Tracer(-2, 5.0), ValueError, r"shape must have no negative size, got -2"),
    (
        lambda: Tracer((2, 2.5), 5.0),
        TypeError,
        r"shape must be an integer or a sequence of integers",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), REFUSED)
def test_constructor_refuses(make, error, message):
    with pytest.raises(error, match=message):
        make()


# Before the transform's own values, whatever is concrete is checked under it as well.
@pytest.mark.parametrize(
    "make",
    [
        lambda: Tracer(1, -5.0),
        lambda: Tracer(1, np.nan),
        lambda: Tracer(1, 0.5, integrator="euler"),
        lambda: RUTracer(1, 5.0, 5.0, 1.5),
        lambda: SaturableTracer(1, 5.0, base=2.0),
    ],
)
def test_concrete_parameters_are_checked_under_jit_too(make):
    with pytest.raises(ValueError, match="must"):
        jax.jit(lambda x: make()(x))(1.0)


def test_known_keywords_are_named():
    with pytest.raises(TypeError) as caught:
        SaturableTracer(2, 5.0, colour=1)
    for name in (
        "tau",
        "scale",
        "base",
        "minimum",
        "integrator",
        "seed",
        "dtype",
        "dt",
        "rounding",
    ):
        assert name in str(caught.value)


def test_base_tracer_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        BaseTracer((2,))


def test_traced_dt_is_refused():
    with pytest.raises(TypeError, match="dt must be a concrete number"):
        jax.jit(lambda dt: Tracer(1, 5.0, dt=dt)(1.0))(1.0)


BAD_CALLS = [
    (lambda t: t(np.ones(3)), ValueError, r"x of shape \(3,\) does not broadcast to shape \(2,\)"),
    (lambda t: t(np.ones((1, 2))), ValueError, r"x of shape \(1, 2\) does not broadcast"),
    (
        lambda t: t(jnp.ones(2, jnp.complex64)),
        TypeError,
        r"x must be boolean, .* got dtype complex64",
    ),
    (lambda t: t("spike"), TypeError, r"x must be boolean, integer or floating, got dtype <U5"),
    (lambda t: t(None), TypeError, r"x must be boolean, integer or floating, got dtype object"),
    (
        lambda t: t(jax.random.key(0)),
        TypeError,
        r"x must be boolean, integer or floating, got dtype key",
    ),
    (lambda t: t(1.0, mask=1), TypeError, r"unknown 'mask'"),
    (lambda t: t.scan(1.0), ValueError, r"xs must have time as its leading axis"),
    (lambda t: t.scan(np.ones((4, 3))), ValueError, r"xs\[t\] of shape \(3,\) does not broadcast"),
    (lambda t: t.scan(np.ones((4, 2)), "fast"), ValueError, r"method must be one of 'auto'"),
    (lambda t: t.scan(np.array(["a"])), TypeError, r"xs must be boolean, integer or floating"),
    (lambda t: t.masked_reset("a"), TypeError, r"mask must be boolean, got dtype <U1"),
    (lambda t: t.masked_reset(np.ones(2)), TypeError, r"mask must be boolean, got dtype float64"),
    (
        lambda t: t.masked_reset(np.ones(3, bool)),
        ValueError,
        r"mask of shape \(3,\) does not broadcast",
    ),
]


@every_kind
@pytest.mark.parametrize(("call", "error", "message"), BAD_CALLS)
def test_call_refuses_and_leaves_the_state(kind, call, error, message):
    tracer = kind.make(2)
    tracer.scan(spikes(0, (5, 2)))
    before = kind.traces(tracer)
    with pytest.raises(error, match=message):
        call(tracer)
    for name, trace in kind.traces(tracer).items():
        assert trace.tobytes() == before[name].tobytes()
    assert int(tracer.rng.count[...]) == 5


@every_kind
def test_derived_attributes_are_read_only(kind):
    tracer = kind.make(2)
    decays = [name.replace("trace", "decay") for name in kind.rest]
    for name in ["value", *decays]:
        assert getattr(tracer, name).shape in [(), (2,)]
        with pytest.raises(AttributeError):
            setattr(tracer, name, 1.0)

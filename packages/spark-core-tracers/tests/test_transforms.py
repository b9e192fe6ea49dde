"""Tracers under the transforms of JAX and Flax NNX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from spark.core.tracers import Constant, Exponential, ExponentialParameters, Tracer, TraceState

from .compilation import compiled
from .kinds import CLASSES, NEAREST, SHAPE, STEPS, named, parametrized, spikes, train

pytestmark = pytest.mark.versions

XS = train(0)
# A transform sees a class, and whether there is a key; it does not see the integrator.
every_kind = parametrized([*CLASSES, NEAREST])


def by_steps(kind):
    tracer = kind.make(SHAPE)
    return np.stack([np.asarray(tracer(x)) for x in XS]), kind.traces(tracer)


def same(kind, tracer, ys):
    expected, traces = by_steps(kind)
    np.testing.assert_array_equal(np.asarray(ys), expected)
    for name, trace in traces.items():
        np.testing.assert_array_equal(kind.traces(tracer)[name], trace)
    assert int(tracer.rng.count[...]) == STEPS


@every_kind
def test_nnx_jit(kind):
    tracer = kind.make(SHAPE)
    step = nnx.jit(lambda tracer, x: tracer(x))
    same(kind, tracer, np.stack([step(tracer, x) for x in XS]))


@every_kind
def test_nnx_scan(kind):
    tracer = kind.make(SHAPE)

    @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=(nnx.Carry, 0))
    def run(tracer, x):
        return tracer, tracer(x)

    _, ys = run(tracer, jnp.asarray(XS))
    same(kind, tracer, ys)


@every_kind
def test_split_and_merge_under_lax_scan(kind):
    tracer = kind.make(SHAPE)
    graph, state = nnx.split(tracer)

    def body(state, x):
        tracer = nnx.merge(graph, state)
        y = tracer(x)
        return nnx.state(tracer), y

    state, ys = jax.jit(lambda state, xs: lax.scan(body, state, xs))(state, jnp.asarray(XS))
    nnx.update(tracer, state)
    same(kind, tracer, ys)


@every_kind
def test_scan_method_under_nnx_jit(kind):
    tracer = kind.make(SHAPE)
    ys = nnx.jit(lambda tracer, xs: tracer.scan(xs, "sequential"))(tracer, jnp.asarray(XS))
    same(kind, tracer, ys)


@every_kind
def test_vmap_over_a_batch_of_states(kind):
    xs = np.stack([train(seed) for seed in range(3)])
    tracer = kind.make(SHAPE)
    recurrence, parameters, state = tracer.recurrence, tracer.parameters, tracer.state
    batch = jax.jit(jax.vmap(lambda xs: recurrence.scan(parameters, state, xs, "sequential")[1]))
    for x, y in zip(xs, batch(xs), strict=True):
        alone = kind.make(SHAPE).scan(x, "sequential")
        np.testing.assert_array_equal(np.asarray(alone), np.asarray(y))


@every_kind
def test_nnx_vmap_of_constructor_and_call(kind):
    @nnx.vmap(in_axes=0)
    def make(seed):
        return kind.make(SHAPE, seed=jax.random.key(seed))

    tracers = make(jnp.arange(3))

    @nnx.vmap(in_axes=(0, 0))
    def step(tracer, x):
        return tracer(x)

    xs = train(2)[:3]
    ys = step(tracers, jnp.asarray(xs))
    for seed, (x, y) in enumerate(zip(xs, ys, strict=True)):
        np.testing.assert_array_equal(np.asarray(kind.make(SHAPE, seed=seed)(x)), np.asarray(y))


@every_kind
def test_constructor_inside_jit(kind):
    ys = jax.jit(lambda xs: kind.make(SHAPE).scan(xs, "sequential"))(jnp.asarray(XS))
    np.testing.assert_array_equal(np.asarray(ys), by_steps(kind)[0])


def test_constructor_takes_traced_parameters():
    def last(tau):
        return Tracer(1, tau, dtype=jnp.float32).scan(jnp.eye(3, 1))[-1, 0]

    taus = jnp.array([2.0, 5.0])
    np.testing.assert_allclose(
        np.asarray(jax.vmap(last)(taus)), np.exp(-2 / np.array([2, 5])), rtol=1e-6
    )
    # d/dtau exp(-2/tau) = 2/tau^2 exp(-2/tau)
    assert float(jax.jit(jax.grad(last))(2.0)) == pytest.approx(0.5 * np.exp(-1), rel=1e-6)


@every_kind
def test_a_clone_shares_no_state(kind):
    tracer = kind.make(SHAPE)
    tracer.scan(XS)
    twin = nnx.clone(tracer)
    before = kind.traces(tracer)
    expected = twin(XS[0])
    for name, trace in kind.traces(tracer).items():
        np.testing.assert_array_equal(trace, before[name])
    np.testing.assert_array_equal(np.asarray(tracer(XS[0])), np.asarray(expected))


def test_variables_can_be_told_apart():
    tracer = Tracer(3, 5.0, trainable=("tau",))
    assert set(nnx.state(tracer, nnx.Param)) == {"tau"}
    assert set(nnx.state(tracer, Constant)) == {"scale", "base"}
    assert set(nnx.state(tracer, TraceState)) == {"trace"}
    assert set(nnx.state(tracer, nnx.RngState)) == {"rng"}


def test_a_changed_parameter_is_used_at_the_next_call():
    tracer = Tracer(1, 5.0, dtype=jnp.float32)
    tracer(1)
    tracer.tau[...] = jnp.float32(2.0)
    assert float(tracer(0)[0]) == pytest.approx(np.exp(-0.5), rel=1e-6)
    assert float(tracer.decay) == pytest.approx(np.exp(-0.5), rel=1e-6)


def test_one_compilation_per_recurrence_and_shape():
    def run(shape, tau, seed):
        tracer = Tracer(shape, tau, seed=seed)
        for _ in range(3):
            tracer(np.ones(shape, np.float32))

    run(17, 5.0, 0)
    with compiled() as programs:
        run(17, 6.0, 1)
        run(17, 7.0, 2)
    assert not programs
    with compiled() as programs:
        run(18, 5.0, 0)
    assert programs


def test_noise_does_not_change_when_a_state_is_cut_in_parts():
    recurrence = Exponential(dt=1.0)
    parameters = ExponentialParameters(jnp.float32(50.0))
    xs = jnp.asarray(spikes(3, (20, 8)))
    whole = recurrence.init(parameters, (8,), jnp.float16, jax.random.key(0))
    scan = jax.jit(lambda state, xs: recurrence.scan(parameters, state, xs, "sequential")[1])
    expected = np.asarray(scan(whole, xs))
    for part in (slice(0, 3), slice(3, 8)):
        element = jnp.arange(8, dtype=jnp.uint32)[part]
        state = recurrence.init(parameters, element.shape, jnp.float16, jax.random.key(0))
        state = state._replace(noise=state.noise._replace(element=element))
        np.testing.assert_array_equal(scan(state, xs[:, part]), expected[:, part])


@parametrized(named("tracer", "resource-usage"))
def test_tabulate(kind):
    tracer = kind.make(SHAPE)
    assert kind.cls.__name__ in nnx.tabulate(tracer, jnp.asarray(XS[0]), compute_flops=True)
    assert "scan" in nnx.tabulate(tracer, jnp.asarray(XS), method="scan")
    np.testing.assert_array_equal(tracer(XS[0]), kind.make(SHAPE)(XS[0]))

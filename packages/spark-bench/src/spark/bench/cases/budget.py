"""The budget of synapses: each promise beside its reference (see Benchmarks, Measurements)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from spark.nn.components.synapses import project

from ..case import Case, Counts, Program
from .synapses import PROGRAMS, built, hand_written, kernel_of, stepped
from .tracers import RATE, on_device, spikes

STEPS = {100: 1000, 1000: 200, 4000: 50}
"""Steps of a call by number of inputs, where one call a step is measured."""

SEQUENCE = 1000
"""Steps of a whole sequence."""

Programs = Mapping[str, Callable[[], Program]]


def cases() -> Iterator[Case]:
    """Row by row: the reference first, then the programs that are compared with it."""
    for size in (1000, 4000):
        yield from _row(f"step/{size}x{size}/activity={RATE:g}", size, _per_synapse, _traced)
    for size, activity in ((100, RATE), (1000, 0.5), (4000, 0.5), (1000, 1.0), (4000, 1.0)):
        name = f"step/{size}x{size}/activity={activity:g}/dense"
        yield from _row(name, size, _dense, _traced, activity)
    yield from _row("batch=32/1000x1000", 1000, _dense, _traced, batch=32, steps=50)
    yield from _row("per-synapse-tau/1000x1000", 1000, _elementwise, _varied, steps=50)
    for size in (1000, 4000):
        yield from _row(f"sequence/{size}x{size}", size, _product, _whole, steps=SEQUENCE)
    for size in (100, 1000):
        yield from _row(f"eager/{size}x{size}", size, _dispatch, _module, steps=1)


def _row(
    name: str,
    size: int,
    reference: Callable[..., Programs],
    ours: Callable[..., Programs],
    activity: float = RATE,
    batch: int = 1,
    steps: int | None = None,
) -> Iterator[Case]:
    steps = STEPS[size] if steps is None else steps
    shape = (steps, size) if batch == 1 else (steps, batch, size)
    events = round(activity * size * batch) * size * steps
    programs = {**reference(shape, activity), **ours(shape, activity)}
    for number, (program, setup) in enumerate(programs.items()):
        yield Case(
            f"budget/{name}/{program}",
            setup,
            Counts(element_updates=size * batch * steps, synaptic_events=events, flop=2 * events),
            {"pre": size, "elements": size, "steps": steps, "batch": batch},
            ("synapses", "budget", "float32"),
            f"budget/{name}",
            reference=number == 0,
            observe=_trace_bytes(program, shape),
        )


def _trace_bytes(program: str, shape: tuple[int, ...]) -> Callable[[], dict[str, float]] | None:
    """Bytes of the traces of synapses, and of one trace per synapse."""

    def of_synapses() -> dict[str, float]:
        tracer = built(program, shape).current_tracer
        assert tracer is not None
        return {"trace_bytes": sum(trace.nbytes for trace in tracer.state.traces)}

    if program in PROGRAMS:
        return of_synapses
    return (lambda: {"trace_bytes": 4 * shape[-1] ** 2}) if program == "per-synapse" else None


def _traced(shape: tuple[int, ...], activity: float) -> Programs:
    """One call a step within one program, with a shared time constant and with one per target."""
    names = ("traced-shared", "traced-target")
    return {name: functools.partial(stepped, name, shape, activity, "float32") for name in names}


def _varied(shape: tuple[int, ...], activity: float) -> Programs:
    """The same with a time constant for each synapse."""
    name = "traced-synapse"
    return {name: functools.partial(stepped, name, shape, activity, "float32")}


def _dense(shape: tuple[int, ...], activity: float) -> Programs:
    return {"dense": functools.partial(hand_written, shape, activity, "float32")}


def _per_synapse(shape: tuple[int, ...], activity: float) -> Programs:
    return {"per-synapse": functools.partial(update, shape, activity, np.full((), 5.0), True)}


def _elementwise(shape: tuple[int, ...], activity: float) -> Programs:
    """An update of one trace per synapse, and the same with the sum into a current."""
    tau = PROGRAMS["traced-synapse"][1](shape[-1])["tau"]
    return {
        "elementwise": functools.partial(update, shape, activity, tau, False),
        "elementwise-and-sum": functools.partial(update, shape, activity, tau, True),
    }


def update(
    shape: tuple[int, ...], activity: float, tau: np.ndarray[Any, Any], total: bool
) -> Program:
    """A trace per synapse, (input, target), in a plain `lax.scan`; with or without their sums."""
    kernel = on_device(kernel_of(shape[-1]).T.copy())
    xs = on_device(spikes(shape, activity))
    lost = on_device(jnp.asarray(-np.expm1(-1 / tau.T), jnp.float32))
    start = jnp.zeros_like(kernel)

    @jax.jit
    def run(kernel: jax.Array, lost: jax.Array, start: jax.Array, xs: jax.Array) -> Any:
        def step(y: jax.Array, s: jax.Array) -> tuple[jax.Array, jax.Array | None]:
            y = y - lost * y + kernel * s[:, None].astype(jnp.float32)
            return y, y.sum(0) if total else None

        return jax.lax.scan(step, start, xs)

    return lambda: run(kernel, lost, start, xs)


def _product(shape: tuple[int, ...], activity: float) -> Programs:
    """One matrix product for all steps, then the trace; and steps of our synapses."""
    return {
        "product": functools.partial(product_then_trace, shape, activity),
        "steps": functools.partial(stepped, "traced-shared", shape, activity, "float32"),
    }


def product_then_trace(shape: tuple[int, ...], activity: float) -> Program:
    """A product that reads the kernel once for all steps, then the trace."""
    kernel, xs = on_device(kernel_of(shape[-1])), on_device(spikes(shape, activity))
    decay = jnp.float32(np.exp(-1 / 5.0))

    @jax.jit
    def run(kernel: jax.Array, xs: jax.Array) -> jax.Array:
        def step(y: jax.Array, drive: jax.Array) -> tuple[jax.Array, jax.Array]:
            y = decay * y + drive
            return y, y

        return jax.lax.scan(step, jnp.zeros(shape[1:]), xs.astype(jnp.float32) @ kernel.T)[1]

    return lambda: run(kernel, xs)


def _whole(shape: tuple[int, ...], activity: float) -> Programs:
    def scan() -> Program:
        synapses, xs = built("traced-shared", shape), on_device(spikes(shape, activity))
        return lambda: synapses.scan(xs).value

    return {"scan": scan}


def _dispatch(shape: tuple[int, ...], activity: float) -> Programs:
    """One compiled program of the same arithmetic."""

    def setup() -> Program:
        synapses, x = built("traced-shared", shape), on_device(spikes(shape, activity)[0])
        tracer, kernel = synapses.current_tracer, synapses.weights
        assert tracer is not None
        assert kernel is not None
        weights, parameters, state = (kernel.get_value(),), tracer.parameters, tracer.state

        @jax.jit
        def update(weights: Any, parameters: Any, state: Any, x: jax.Array) -> Any:
            return tracer.recurrence.step(parameters, state, project(weights, x))

        return lambda: update(weights, parameters, state, x)

    return {"dispatch": setup}


def _module(shape: tuple[int, ...], activity: float) -> Programs:
    def setup() -> Program:
        synapses, x = built("traced-shared", shape), on_device(spikes(shape, activity)[0])
        return lambda: synapses(x).value

    return {"module": setup}

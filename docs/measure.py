"""Speed figures that the changelogs quote; `nox -s measure` repeats them.

Every figure is a ratio against a reference in the same run: medians of interleaved rounds, compile
time and warm-up apart. Sizes and references are named in what is printed.
"""

from __future__ import annotations

import argparse
import functools
import platform
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from spark.core.tracers import (
    DoubleTracer,
    RUTracer,
    SaturableDoubleTracer,
    SaturableTracer,
    Tracer,
)

TRACERS = {
    "Tracer": (Tracer, (10.0,)),
    "SaturableTracer": (SaturableTracer, (10.0,)),
    "DoubleTracer": (DoubleTracer, (5.0, 10.0)),
    "SaturableDoubleTracer": (SaturableDoubleTracer, (5.0, 10.0)),
    "RUTracer": (RUTracer, (800.0, 50.0, 0.5)),
}


def interleaved(
    functions: dict[str, Callable[[], object]], rounds: int, calls: int
) -> dict[str, float]:
    """Median time of one call of each function, ms; the functions take turns."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        jax.block_until_ready(function())
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            for _ in range(calls):
                jax.block_until_ready(function())
            times[name].append(1000 * (time.perf_counter() - start) / calls)
    return {name: statistics.median(values) for name, values in times.items()}


def eager_call(rounds: int) -> None:
    """One call of a module against one dispatch of the same compiled update."""
    print("\nOne eager call, 1000 elements, against one dispatch of the same update (us)")
    x = jnp.ones(1000)
    for name, (cls, parameters) in TRACERS.items():
        for dtype in ("float16", "float32"):
            tracer = cls(1000, *parameters, dtype=dtype)
            update = jax.jit(tracer.recurrence.step)
            held = tracer.parameters, tracer.state, x
            found = interleaved(
                {"call": lambda t=tracer: t(x), "dispatch": lambda u=update, h=held: u(*h)},
                rounds,
                calls=1000,
            )
            print(
                f"  {name:22} {dtype:8} {1000 * found['call']:6.1f} {1000 * found['dispatch']:6.1f}"
                f"   {found['call'] / found['dispatch']:4.1f}x"
            )


def sequential_scan(rounds: int, steps: int = 50, elements: int = 10**6) -> None:
    """A scan against one elementwise pass with the same input, output and allocation."""
    print(f"\nSequential scan, {steps} steps of {elements} elements (ms; bytes moved per second)")
    rng = np.random.default_rng(0)
    for x_dtype in ("bool", "float32"):
        for dtype in ("float32", "float16", "bfloat16"):
            xs = jnp.asarray(rng.random((steps, elements)) < 0.02).astype(x_dtype)
            tracer = Tracer(elements, 10.0, dtype=dtype)
            decay = jnp.float32(0.9)

            @jax.jit
            def elementwise(xs, dtype=dtype, decay=decay):
                return (xs.astype(jnp.float32) * decay + decay).astype(dtype)

            @jax.jit
            def hand_written(y, xs, dtype=dtype, decay=decay):
                def step(y, x):
                    y = (y.astype(jnp.float32) * decay + x.astype(jnp.float32)).astype(dtype)
                    return y, y

                return jax.lax.scan(step, y, xs)

            found = interleaved(
                {
                    "scan": lambda t=tracer, xs=xs: t.scan(xs),
                    "pass": lambda e=elementwise, xs=xs: e(xs),
                    "hand": lambda h=hand_written, y=tracer.value, xs=xs: h(y, xs),
                },
                rounds,
                calls=1,
            )
            out, read = jnp.dtype(dtype).itemsize, jnp.dtype(x_dtype).itemsize
            # Per element and step, the pass reads the input and writes the output; the scan also
            # reads and writes the trace, which it carries in the arithmetic dtype.
            rate = {
                "scan": (read + out + 8) / found["scan"],
                "pass": (read + out) / found["pass"],
            }
            print(
                f"  input {x_dtype:8} trace {dtype:9}"
                f" scan {found['scan']:6.1f}  pass {found['pass']:6.1f}"
                f"  plain lax.scan to nearest {found['hand']:6.1f}"
                f"   bytes/s {rate['scan'] / rate['pass']:4.2f}x"
                f"   time {found['pass'] / found['scan']:4.2f}x"
                f"   plain {found['hand'] / found['scan']:4.2f}x"
            )


def ways(rounds: int) -> None:
    """Time and memory of each way to run, over lengths and widths."""
    print("\nWays to run over time, float32 (ms; MB beside inputs and outputs)")
    grid = [(10, 1), (10**3, 1), (10**5, 1), (10**6, 1)]
    grid += [(10, 100), (10**3, 100), (10**5, 100), (10, 10**4), (10**3, 10**4)]
    for name, (cls, parameters) in TRACERS.items():
        for steps, elements in grid:
            xs = jnp.asarray(np.random.default_rng(0).random((steps, elements)) < 0.02)
            tracer = cls(elements, *parameters, dtype="float32")
            recurrence, held = tracer.recurrence, (tracer.parameters, tracer.state, xs)
            runs, memory = {}, {}
            for method in ("sequential", "parallel"):
                compiled = (
                    jax.jit(functools.partial(recurrence.scan, method=method))
                    .lower(*held)
                    .compile()
                )
                memory[method] = compiled.memory_analysis().temp_size_in_bytes / 1e6
                runs[method] = functools.partial(compiled, *held)
            found = interleaved(runs, rounds, calls=1)
            print(
                f"  {name:22} T {steps:8} N {elements:6}"
                f"  sequential {found['sequential']:8.2f} ({memory['sequential']:5.1f})"
                f"  parallel {found['parallel']:8.2f} ({memory['parallel']:5.1f})"
                f"  {found['parallel'] / found['sequential']:5.1f}x"
            )


def gradient(rounds: int, steps: int = 2000, elements: int = 512) -> None:
    """Gradient of a scan: time against the scan, what waits for the backward pass, and the peak."""
    print(f"\nGradient by tau of a scan, {steps} x {elements}, float32")
    xs = jnp.asarray(np.random.default_rng(0).random((steps, elements)) < 0.02)
    for name, (cls, parameters) in TRACERS.items():
        tracer = cls(elements, *parameters, dtype="float32")
        recurrence, state = tracer.recurrence, tracer.state

        def scan(parameters, recurrence=recurrence, state=state):
            return recurrence.scan(parameters, state, xs, "sequential")[1]

        def by_steps(parameters, recurrence=recurrence, state=state):
            step = functools.partial(recurrence.step, parameters)
            return jax.lax.scan(step, state, xs)[1]

        stored, peak, runs = (
            {},
            {},
            {"forward": functools.partial(jax.jit(scan), tracer.parameters)},
        )
        for kind, function in (("scan", scan), ("steps", by_steps)):
            ys, pullback = jax.vjp(function, tracer.parameters)
            leaves = [leaf for leaf in jax.tree.leaves(pullback) if leaf.size >= steps]
            floating = sum(leaf.nbytes for leaf in leaves if leaf.dtype != bool)
            stored[kind] = floating / ys.nbytes
            loss = jax.jit(jax.grad(lambda p, f=function: (f(p) ** 2).sum()))
            compiled = loss.lower(tracer.parameters).compile()
            peak[kind] = compiled.memory_analysis().temp_size_in_bytes / ys.nbytes
            runs[kind] = functools.partial(compiled, tracer.parameters)
        found = interleaved(runs, rounds, calls=1)
        print(
            f"  {name:22} scan {found['forward']:6.1f} ms, gradient {found['scan']:6.1f} ms; "
            f"through single steps {found['steps']:6.1f} ms;"
            f" stored / outputs {stored['scan']:.2f}, through single steps {stored['steps']:.2f};"
            f" peak / outputs {peak['scan']:.2f}, through single steps {peak['steps']:.2f}"
        )


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds")
    rounds = parser.parse_args().rounds
    device = jax.devices()[0]
    print(f"jax {jax.__version__}, {device.device_kind}, Python {platform.python_version()}")
    eager_call(rounds)
    sequential_scan(rounds)
    ways(rounds)
    gradient(rounds)


if __name__ == "__main__":
    main()

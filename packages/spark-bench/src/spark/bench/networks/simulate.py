"""A network through the synapses of Spark: built, compiled, and run in one compiled loop."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from spark.core.tracers import Constant, Tracer
from spark.nn.components.synapses import (
    InputSpec,
    LinearSynapses,
    Partition,
    RUTracedSynapses,
    Synapses,
    TracedSynapses,
    loop_options,
)

from ..memory import largest_resident
from .connect import connectivity
from .external import Poisson
from .network import Network
from .neurons import NEURONS, Membrane, once
from .spikes import Spikes, events

CHUNK = 80
"""Steps that are compiled as one loop; their spikes are then listed while the next are run."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run gave, and what it cost.

    Attributes:
        spikes: Spikes.
        v: Potentials at the end, mV.
        events: Spikes that arrived at a synapse.
        connections: Number of synapses.
        build: Time to draw and lay out the connections, s.
        compile: Time to compile the loop, s.
        run: Time to run it, s.
        bytes: Memory of the synapses, with what is on its way to the targets.
        peak_bytes: Largest resident set of the process; None where unknown.
    """

    spikes: Spikes
    v: np.ndarray
    events: int
    connections: int
    build: float
    compile: float
    run: float
    bytes: int
    peak_bytes: int | None

    @property
    def real_time_factor(self) -> float:
        """Time to run over time in the network."""
        return self.run / (self.spikes.steps * self.spikes.dt / 1000)


def simulate(
    network: Network,
    seconds: float,
    seed: int = 0,
    dtype: str = "float32",
    kernel_dtype: str | None = None,
    on_progress: Callable[[str, float], None] = lambda stage, part: None,
    synapses: Synapses | None = None,
    v: np.ndarray | None = None,
    current: np.ndarray | None = None,
    devices: int = 1,
) -> Run:
    """Run a network.

    Args:
        network: What to run.
        seconds: For how long, in its time.
        seed: Seed of connections, potentials and external spikes.
        dtype: Dtype of potentials and currents.
        kernel_dtype: Dtype of weights; by default that of synapses.
        on_progress: Called with what is being done, and which part of it is done.
        synapses: Synapses, built, to use instead of those that are drawn.
        v: Initial potentials instead of those that are drawn, mV.
        current: External current of each neuron instead of that of its population, pA.
        devices: Number of devices that share the targets of the synapses.
    """
    if v is None:
        v = potentials(network, seed)
    if current is None:
        current = _of_neurons(network, "current")
    on_progress("build", 0.0)
    start = time.perf_counter()
    if synapses is None:
        synapses = build(network, seed, dtype, kernel_dtype, devices)
    held = jax.tree.leaves(jax.block_until_ready(nnx.state(synapses)))
    built = time.perf_counter() - start
    on_progress("compile", 0.0)

    start = time.perf_counter()
    kernel, carry, advance = _loop(network, synapses, seed, dtype, v, current)
    first = jnp.zeros((), jnp.uint32)
    run = jax.jit(advance, donate_argnums=1, compiler_options=loop_options())
    compiled = run.lower(kernel, carry, first).compile()
    compiled_in = time.perf_counter() - start

    steps = round(1000 * seconds / network.dt)
    found: list[tuple[int, tuple[np.ndarray, np.ndarray]]] = []
    start = time.perf_counter()
    before: jax.Array | None = None
    for begin in range(0, steps, CHUNK):
        carry, raster = compiled(kernel, carry, jnp.uint32(begin))
        if before is not None:
            found.append((begin - CHUNK, events(np.asarray(before))))
        before = raster
        on_progress("run", begin / steps)
    if before is not None:
        found.append((len(found) * CHUNK, events(np.asarray(before))))
    v = np.asarray(carry[0].v) + network.neuron.E_L  # waits
    took = time.perf_counter() - start
    on_progress("run", 1.0)

    step = np.concatenate([begin + each[0] for begin, each in found]).astype(np.int32)
    neuron = np.concatenate([each[1] for _, each in found])
    spikes = Spikes(step[step < steps], neuron[step < steps], steps, network.size, network.dt)
    of_neuron = out_degrees(synapses, network.size)
    return Run(
        spikes,
        v,
        int(of_neuron[spikes.neuron].sum()),
        int(of_neuron.sum()),
        built,
        compiled_in,
        took,
        sum(each.nbytes for each in held if hasattr(each, "nbytes")),
        largest_resident(),
    )


def build(
    network: Network, seed: int, dtype: str, kernel_dtype: str | None, devices: int = 1
) -> Synapses:
    """The synapses of a network: one object for all blocks.

    Args:
        network: What is to be connected.
        seed: Seed of the connections.
        dtype: Dtype of the currents.
        kernel_dtype: Dtype of weights; by default that of synapses.
        devices: Number of devices that share the targets, to which idle ones are added until they
            can be shared evenly.

    Raises:
        ValueError: If there are not so many devices.
    """
    if devices > jax.device_count():
        raise ValueError(f"devices must be at most {jax.device_count()}, got {devices}.")
    settings: dict[str, Any] = {
        "units": -(-network.size // devices) * devices,
        "connectivity": connectivity(network),
        "dt": network.dt,
        "dtype": dtype,
        "seed": seed,
    }
    if kernel_dtype is not None:
        settings["kernel_dtype"] = kernel_dtype
    neuron = network.neuron
    made: Synapses
    if neuron.model == "iaf_psc_delta":
        made = LinearSynapses(**settings)
    else:
        settings["tau"] = neuron.tau_syn_ex
        if neuron.tau_syn_ex != neuron.tau_syn_in:
            excitatory = _of_neurons(network, "excitatory").astype(bool)
            settings["tau"] = np.where(excitatory, neuron.tau_syn_ex, neuron.tau_syn_in)[None]
        if (released := network.plasticity) is None:
            made = TracedSynapses(**settings)
        else:
            made = RUTracedSynapses(
                scale_U=released.U, R_tau=released.tau_rec, U_tau=released.tau_fac, **settings
            )
    partition = None
    if devices > 1:
        mesh = Mesh(np.array(jax.devices()[:devices]), ("targets",))
        partition = Partition(mesh, targets="targets")
    made.build({"spikes": InputSpec((network.size,))}, partition=partition)
    if network.conductances is not None and isinstance(made, TracedSynapses):
        draw = np.random.default_rng([seed, 2])
        drawn = [draw.normal(*law, network.size) for law in network.conductances]
        if neuron.tau_syn_ex > neuron.tau_syn_in:  # the shorter time constant comes first
            drawn.reverse()
        trace = made.current_tracer.trace
        trace[:, : network.size] = jnp.asarray(np.maximum(drawn, 0.0), dtype)
    return made


def out_degrees(synapses: Synapses, inputs: int) -> np.ndarray:
    """Number of connections of each input, without listing them.

    Args:
        synapses: Synapses with stored connections.
        inputs: Number of inputs.
    """
    assert synapses.matrix is not None  # they are built
    indptr = np.asarray(synapses.matrix.adjacency[0].get_value(), np.int64)
    if (shards := synapses.matrix.shards) is not None:  # of devices, side by side
        of_devices = np.diff(indptr.reshape(*shards.grid, shards.own.inputs + 1))
        degrees: np.ndarray = of_devices.sum(axis=1).reshape(-1)
        return degrees
    if len(indptr) > 1:
        return np.diff(indptr)
    return np.full(inputs, synapses.kernel.shape[0] // inputs)  # all the same


def potentials(network: Network, seed: int) -> np.ndarray:
    """Initial potentials of all neurons, mV.

    Args:
        network: Whose.
        seed: Seed of the draws.
    """
    draw = np.random.default_rng([seed, 1])
    parts = []
    for each in network.populations:
        law, first, second = each.start
        draws = draw.normal if law == "normal" else draw.uniform
        parts.append(draws(first, second, each.size))
    return np.concatenate(parts)


def _loop(
    network: Network,
    synapses: Synapses,
    seed: int,
    dtype: str,
    v: np.ndarray,
    current: np.ndarray,
) -> tuple[Any, Any, Callable[..., Any]]:
    """The kernel, the first carry, and a function that runs `CHUNK` steps."""
    size, dt = network.size, network.dt
    tracer = synapses.current_tracer if isinstance(synapses, TracedSynapses) else None
    tau = np.empty(0) if tracer is None else np.asarray(tracer.parameters.tau).reshape(-1)
    excitatory = np.abs(tau - network.neuron.tau_syn_ex).argmin() if tau.size else 0
    neurons = NEURONS[network.neuron.model](network.neuron, tau, current, dt, dtype)
    membrane = Membrane(jnp.asarray(v - network.neuron.E_L, dtype), jnp.zeros(size, jnp.int32))

    rates = [each.poisson_rate * dt for each in network.populations]
    poisson, noise = None, None
    if any(rates):
        poisson = Poisson(rates, [each.size for each in network.populations], seed)
        if tracer is not None:
            noise = Tracer(size, tau=network.neuron.tau_syn_ex, dt=dt, dtype=dtype)
    weights = jnp.asarray(_of_neurons(network, "poisson_weight"), dtype)
    fixed = nnx.Any(nnx.Param, Constant)  # weights, indices, time constants
    graph, *parts = nnx.split((synapses, noise), fixed, ...)
    kernel, state = parts

    def step(kernel: Any, carry: Any, counts: Any) -> Any:
        membrane, spikes, state = carry
        both: Any = nnx.merge(graph, kernel, state)
        synapses, noise = both
        arrived = synapses(spikes).value.astype(dtype)[:size]
        outside = None if counts is None else weights * counts.astype(dtype)
        if tracer is not None:
            arrived = synapses.current_tracer.value.astype(dtype)
            arrived = arrived.reshape(-1, arrived.shape[-1])[:, :size]
            if outside is not None:
                arrived = arrived.at[excitatory].add(noise(outside))
        elif outside is not None:
            arrived = arrived + outside
        membrane, spikes = neurons.step(membrane, once(arrived))
        state = nnx.state((synapses, noise), nnx.Not(fixed))
        return (membrane, spikes, state), spikes

    def advance(kernel: Any, carry: Any, first: Any) -> Any:
        steps = first + jnp.arange(CHUNK, dtype=jnp.uint32)
        counts = None if poisson is None else poisson(steps)
        return jax.lax.scan(
            lambda carry, counts: step(kernel, carry, counts), carry, counts, length=CHUNK
        )

    return kernel, (membrane, jnp.zeros(size, bool), state), advance


def _of_neurons(network: Network, name: str) -> np.ndarray:
    """A parameter of populations, for each neuron."""
    values = [getattr(each, name) for each in network.populations]
    return np.repeat(np.asarray(values, float), [each.size for each in network.populations])

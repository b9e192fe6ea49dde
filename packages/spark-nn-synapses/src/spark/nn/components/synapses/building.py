"""What `build` allocates: kernel and connections, tracers and delay lines, each checked."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array

from spark.core.internal import as_parameter, as_storage_dtype, require_base
from spark.core.internal import compute_dtype as arithmetic_dtype
from spark.core.tracers import BaseTracer, Constant
from spark.nn.initializers import KernelInitializerConfig

from .arguments import InputSpec
from .delays import DelayLine, Ring
from .drive import Drive
from .kernel import (
    Fault,
    as_kernel,
    as_weights,
    first_fault,
    in_dtype,
    require_no_fault,
    stored,
    warn_of_underflow,
)
from .layout import as_matrix, lay_out
from .partition import Partition
from .pathway import Pathway
from .projection import inputs_first
from .rows import DrawnRows, StoredRows
from .wiring import Wiring, along_rows, stored_weights, wire


@dataclasses.dataclass
class Parts:
    """The parts with arrays, under the names that `Synapses` describes."""

    weights: nnx.Param[Array] | None = None
    gains: dict[str, nnx.Variable[Array]] = dataclasses.field(default_factory=dict)
    base: nnx.Variable[Array] | None = None
    groups: Constant | None = None
    current_tracer: BaseTracer | None = None
    release_tracer: BaseTracer | None = None
    wires: list[Constant] = dataclasses.field(default_factory=list)
    delays: Constant | None = None
    spikes_on_way: DelayLine | None = None
    drive_on_way: DelayLine | None = None


def assemble(
    config: Any,
    spec: InputSpec,
    key: Array,
    seed: Array,
    tracer_class: type[Any] | None,
    release_class: type[Any] | None,
    partition: Partition | None,
) -> tuple[Pathway, Parts]:
    """Allocate and check what a configuration says.

    Args:
        config: The configuration of synapses.
        spec: What will come in.
        key: JAX PRNG key of connections and kernel.
        seed: JAX PRNG key of stochastic rounding.
        tracer_class: What the drive runs through; None passes it on.
        release_class: What gives the efficacy of the inputs; None leaves it at 1.
        partition: How to cut the arrays over devices; None keeps them whole.

    Returns:
        The pure functions, and what they compute with.

    Raises:
        TypeError: If `partition` is not a `Partition`.
        ValueError: If something does not fit something else; the message names both.
    """
    units = config.units
    inputs = spec.shape[len(units) :] if spec.async_spikes else spec.shape
    if partition is not None:
        _require_cuttable(config, spec, inputs, release_class, partition)
    connected = key
    if config.connectivity != "dense":
        connected, key = jax.random.split(key)
    wiring = wire(config, inputs, connected)
    drive = Drive(
        units,
        inputs,
        spec.async_spikes,
        as_storage_dtype(config.dtype),
        config.projection,
        rows=wiring.rows,
        batch=len(spec.batch),
        partition=partition,
    )
    pathway = Pathway(drive)
    kernel = nnx.Param(_weights(config, wiring, key, units + inputs, partition))
    parts = Parts(kernel)
    if release_class is not None:
        shape = (*spec.batch, *inputs)
        parts.release_tracer = release = _release(config, release_class, shape, seed)
        pathway = dataclasses.replace(pathway, release=release.recurrence)
    if tracer_class is not None:
        pathway = _trace(parts, pathway, config, wiring, tracer_class, spec.batch, seed)
    _delay(parts, pathway.drive, config, wiring, spec.batch)
    if partition is not None:
        _place(parts, pathway, partition)
    _warn_of_faint_currents(config, wiring, inputs, kernel.get_value())
    return pathway, parts


def _require_cuttable(
    config: Any,
    spec: InputSpec,
    inputs: tuple[int, ...],
    release_class: type[Any] | None,
    partition: Partition,
) -> None:
    """Refuse what cannot be cut over devices."""
    if not isinstance(partition, Partition):
        raise TypeError(f"partition must be a Partition or None, got {partition!r}.")
    partition.require_fit(config.units, inputs, spec.batch)
    for what, there in (
        ("connectivity", config.connectivity != "dense"),
        ("delays", config.delays is not None),
        ("short-term plasticity", release_class is not None),
    ):
        if there:
            raise ValueError(
                f"a partition cuts dense synapses without {what}; build these on one device."
            )


def _weights(
    config: Any, wiring: Wiring, key: Array, shape: tuple[int, ...], partition: Partition | None
) -> Array:
    """The kernel of a shape `units + input_shape`, as a matrix (inputs, targets); or along rows."""
    dtype, name = as_storage_dtype(config.dtype_of_kernel), "kernel_initializer"
    if config.connectivity != "dense":
        default = type(config).model_fields["kernel_initializer"].default
        return jnp.asarray(stored_weights(config, wiring, key, dtype, default))
    initializer = config.kernel_initializer
    if isinstance(initializer, KernelInitializerConfig):
        initializer = initializer.make(len(config.units))

    def draw(key: Array) -> Any:
        return as_weights(name, initializer(key, shape, arithmetic_dtype(dtype)), shape)

    def part(key: Array) -> tuple[Array, Fault]:
        draws = draw(key)
        whole = in_dtype(draws, dtype, drawn=True)
        return inputs_first(whole, len(config.units)), first_fault(draws, whole)

    if isinstance(initializer, np.ndarray):
        whole = inputs_first(as_kernel(name, initializer, shape, dtype), len(config.units))
        # On the host, until each device is given its own part.
        return whole if partition is not None else jnp.asarray(whole)
    if partition is None:
        drawn = stored(name, draw(key), dtype, drawn=True)
        return jnp.asarray(inputs_first(drawn, len(config.units)))
    # Each device draws its own part and looks through it, and no device the whole.
    where = partition.sharding(partition.kernel), partition.sharding(())
    weights, fault = jax.jit(part, out_shardings=where)(key)
    require_no_fault(name, fault, dtype)
    return weights


def _release(config: Any, kind: type[Any], shape: tuple[int, ...], seed: Array) -> Any:
    """The tracer before the projection."""
    return kind(
        shape,
        **config.release,
        seed=jax.random.fold_in(seed, 1),  # its rounding is independent of the other tracer's
        dtype=config.dtype,
        dt=config.dt,
        rounding=config.rounding,
        trainable=[name for name in config.trainable if name in config.release],
    )


def _trace(
    parts: Parts,
    pathway: Pathway,
    config: Any,
    wiring: Wiring,
    kind: type[Any],
    batch: tuple[int, ...],
    seed: Array,
) -> Pathway:
    """Put a tracer at the end, as small as its parameters allow."""
    is_sparse = wiring.rows is not None
    drive = pathway.drive
    layout = lay_out(config.parameters, drive.units, drive.inputs, config.trainable, is_sparse)
    if is_sparse and layout.sharing == "synapse":
        trained = [name for name in config.trainable if name.startswith("tau")]
        raise ValueError(
            f"{', '.join(trained)} must not differ over inputs and be trained: each synapse "
            "then has a trace, which needs connectivity='dense' and no delays of connections."
        )
    parts.current_tracer = tracer = kind(
        (*batch, *layout.lead, *drive.units),
        **layout.tracer,
        seed=seed,
        dtype=config.dtype,
        dt=config.dt,
        integrator=config.integrator,
        rounding=config.rounding,
        trainable=[
            name
            for name in config.trainable
            if name in config.parameters and name not in layout.kept
        ],
    )

    def variable(name: str) -> nnx.Variable[Array]:
        value = layout.kept[name]
        if is_sparse and name in layout.gains:
            value = along_rows(wiring, name, value)
        checked = as_parameter(name, value, np.shape(value), drive.dtype)
        if name == layout.base:
            require_base(checked, tracer.recurrence.range(drive.dtype), drive.dtype)
        trained = nnx.Param if name in config.trainable else Constant
        return trained(jnp.asarray(checked.kept))

    parts.gains = {name: variable(name) for name in layout.gains}
    parts.base = None if layout.base is None else variable(layout.base)
    if layout.groups is not None:
        parts.groups = Constant(jnp.asarray(layout.groups))
    drive = dataclasses.replace(drive, sharing=layout.sharing, lead=layout.lead)
    return dataclasses.replace(pathway, drive=drive, recurrence=tracer.recurrence)


def _warn_of_faint_currents(
    config: Any, wiring: Wiring, inputs: tuple[int, ...], weights: Array
) -> None:
    """Warn of weights whose spikes a current cannot show; each device looks at its own part."""
    dtype, response = as_storage_dtype(config.dtype), _response(config, wiring, inputs)
    if isinstance(wiring.rows, DrawnRows):
        # The largest number of the distribution stands for its weights.
        warn_of_underflow(jnp.max(jnp.abs(weights), keepdims=True), response, dtype, drawn=False)
        return
    drawn = wiring.weights is None and not isinstance(config.kernel_initializer, np.ndarray)
    warn_of_underflow(weights, response, dtype, drawn)


def _response(config: Any, wiring: Wiring, inputs: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Largest current of a spike of weight 1, or a bound of it, for each weight of the kernel."""
    matrix = np.ones((1, 1))
    for factor in config.response:
        matrix = matrix * np.abs(as_matrix(np.asarray(factor), config.units, inputs))
    if config.connectivity == "dense":
        return matrix
    if matrix.size == 1 or isinstance(wiring.rows, DrawnRows):
        return np.max(matrix, keepdims=True)[0]
    whole = np.broadcast_to(matrix, (len(matrix), math.prod(config.units)))
    return along_rows(wiring, "scale", whole)


def _delay(parts: Parts, drive: Drive, config: Any, wiring: Wiring, batch: tuple[int, ...]) -> None:
    """Keep connections and delays, with nothing on its way."""
    wide = arithmetic_dtype(drive.dtype)
    parts.wires = [Constant(wire) for wire in wiring.wires or ()]
    if wiring.steps:
        shape = (wiring.steps + 1, *batch, math.prod(drive.inputs))
        parts.spikes_on_way = DelayLine(Ring.empty(shape, wide))
        parts.delays = Constant(jnp.asarray(wiring.delays))
    if isinstance(drive.rows, StoredRows) and drive.rows.steps > 1:
        shape = (*batch, *drive.lead, *drive.rows.shape)
        kernel = arithmetic_dtype(as_storage_dtype(config.dtype_of_kernel))
        widest = max(wide, kernel, key=lambda dtype: dtype.itemsize)
        parts.drive_on_way = DelayLine(Ring.empty(shape, widest))


def _place(parts: Parts, pathway: Pathway, partition: Partition) -> None:
    """Put all arrays where a partition has them."""
    assert parts.weights is not None
    partition.place(parts.weights, partition.kernel)
    for gain in parts.gains.values():
        partition.place(gain, partition.kernel)
    if parts.base is not None:
        partition.place(parts.base, pathway.cut[len(pathway.cut) - len(pathway.drive.units) :])
    if parts.groups is not None:
        partition.place(parts.groups, (None,))
    if parts.current_tracer is not None:
        stream = parts.current_tracer.rng
        for _, variable in nnx.iter_graph(parts.current_tracer):
            if isinstance(variable, nnx.Variable):
                own = variable is not stream.key and variable is not stream.count
                partition.place(variable, pathway.cut if own else ())

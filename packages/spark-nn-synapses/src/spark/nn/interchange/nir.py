"""Synapses as graphs of the Neuromorphic Intermediate Representation (NIR), and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from spark.core.internal import as_length
from spark.core.tracers import DoubleTracer, Tracer
from spark.nn.components.synapses import (
    DoubleTracedSynapses,
    InputSpec,
    LinearSynapses,
    Synapses,
    TracedSynapses,
)
from spark.nn.payloads.times import NumPyArray

from .extras import require
from .rows import Stage, read

if TYPE_CHECKING:
    import nir


def to_nir(synapses: Synapses, *, second: float = 1000.0, area: float = 1.0) -> nir.NIRGraph:
    r"""Synapses as a graph that other simulators and hardware read.

    A graph is a model in continuous time. `LinearSynapses` become a `Linear`; each stage of a trace
    becomes an `LI` after it, a leaky integrator

    $$ \tau \frac{dv}{dt} = v_\mathrm{leak} - v + r I, $$

    with time in seconds. A spike is a Dirac delta of area 1, which makes $v$ jump by $r W / \tau$;
    stage 1 of a double trace drives stage 2 all the time. So, with $\tau_2$ and
    $\mathrm{scale}_2$ in the unit of `dt`,

    $$ r = \mathrm{scale} \, \tau, \qquad r_2 = \mathrm{scale}_2 \, \tau_2, \qquad
       v_{\mathrm{leak},2} = \mathrm{base}_2 - r_2 \, \mathrm{base}_1. $$

    At the ends of steps, where spikes arrive, the exact integrator is the solution of this graph.
    A simulator that takes Euler steps differs from it by the order of `dt/tau`. Time step and
    discretisation are named in the metadata of the graph. Dtype and rounding are no part of it:
    weights are written in float32, or float64 where they are, and parameters in float64.

    Args:
        synapses: Built synapses, of one axis of targets and one of inputs. A `scale` that varies
            over inputs is multiplied into the weights.
        second: One second, or whatever unit of time the graph is to have, in the unit of `dt`.
        area: Integral of a spike over time, in the graph's unit of time. NIR's is 1; a reader that
            holds a spike at 1 for a step takes it for one of that step.

    Returns:
        A graph input, `Linear`, an `LI` for each stage, output; for `nir.write`.

    Raises:
        ModuleNotFoundError: If `nir` is not installed.
        RuntimeError: If the synapses are not built.
        TypeError: If they are no synapses, or their trace is none of these.
        ValueError: If no such graph computes the same.

    References:
        Pedersen et al. (2024), Neuromorphic intermediate representation: a unified instruction set
        for interoperable brain-inspired computing, Nature Communications 15:8122.

    Example:
        >>> import numpy as np
        >>> from spark.nn.components.synapses import InputSpec, TracedSynapses
        >>> from spark.nn.interchange import to_nir
        >>> synapses = TracedSynapses(units=2, kernel_initializer=np.ones((2, 3)), tau=5.0)
        >>> synapses.build({"spikes": InputSpec((3,))})
        >>> graph = to_nir(synapses)
        >>> list(graph.nodes)
        ['input', 'linear', 'li', 'output']
        >>> graph.nodes["li"].tau  # s
        array([0.005, 0.005])
    """
    nir = require("nir", "to_nir")
    second, area = as_length("second", second), as_length("area", area)
    _require_expressible(synapses)
    nodes = [nir.Linear(_weights(synapses))]
    rest, gain = np.zeros(1), area
    for tau, scale, base in _stages(synapses):
        r = scale * (tau / second) / gain
        nodes.append(nir.LI(tau / second, r, base - r * rest))
        # The next stage is driven by a value, all the time.
        rest, gain = base, 1 / second
    graph = nir.NIRGraph.from_list(*nodes)
    graph.metadata = {
        "discretization": "exact, with impulses at the ends of steps",
        "dt": synapses.config.dt / second,
    }
    return graph


def from_nir(
    graph: nir.NIRGraph,
    dt: float = 1.0,
    *,
    second: float = 1000.0,
    area: float = 1.0,
    **config: Any,
) -> LinearSynapses:
    r"""Synapses that compute the same as a graph; the inverse of `to_nir`.

    A graph is read that is one row of nodes: a `Linear` or `Affine`; then nothing, an `LI`, or two
    of them or a `CubaLI`, which is the same. They become `LinearSynapses`, `TracedSynapses` or
    `DoubleTracedSynapses`, with

    $$ \mathrm{scale} = r / \tau, \qquad
       \mathrm{base} = v_\mathrm{leak} + r b, $$

    where $b$ is the bias of an `Affine`, a constant current. Synapses start at `base`, where this
    current has settled; a graph does not say where it starts.

    Args:
        graph: A graph, as of `nir.read`.
        dt: Time step (ms by convention).
        second: One second, or whatever unit of time the graph has, in the unit of `dt`.
        area: Integral of a spike over time, in the graph's unit of time. NIR's is 1; where the
            graph comes from a simulator that holds a spike at 1 for a step, it is that step.
        **config: Other fields of the configuration, such as `dtype` (float16 by default) and
            `integrator`: `"euler"` gives the result of a simulator that takes Euler steps of `dt`.

    Returns:
        Synapses, built.

    Raises:
        ModuleNotFoundError: If `nir` is not installed.
        TypeError: If it is no graph.
        ValueError: If there is something else in the graph, or a value makes no sense.

    Example:
        >>> import nir
        >>> import numpy as np
        >>> from spark.nn.interchange import from_nir
        >>> tau, r, v_leak = np.array([0.005]), np.array([0.01]), np.array([0.0])  # s
        >>> graph = nir.NIRGraph.from_list(nir.Linear(np.ones((1, 3))), nir.LI(tau, r, v_leak))
        >>> synapses = from_nir(graph, dt=0.1, dtype="float32")
        >>> synapses.config.tau, synapses.config.scale  # ms
        (5.0, 2.0)
    """
    dt, second, area = (
        as_length(name, value) for name, value in (("dt", dt), ("second", second), ("area", area))
    )
    weight, bias, integrators = read(graph)
    euler = config.get("integrator") == "euler"
    parameters: dict[str, Any] = {}
    rest, gain = bias, area
    for number, (tau, r, v_leak) in enumerate(integrators, 1):
        suffix = "" if len(integrators) == 1 else f"_{number}"
        rest = v_leak + r * rest
        with np.errstate(divide="ignore", invalid="ignore"):  # a tau of 0 is refused below
            scale = gain * r / tau
        parameters[f"tau{suffix}"] = _shared(tau * second)
        parameters[f"scale{suffix}"] = _shared(scale)
        parameters[f"base{suffix}"] = _shared(rest)
        # Stage 2 takes in stage 1 per unit of time, and by Euler's method per step.
        gain = (dt if euler else 1.0) / second
    kind = (LinearSynapses, TracedSynapses, DoubleTracedSynapses)[len(integrators)]
    targets, inputs = weight.shape
    synapses = kind(units=(targets,), kernel_initializer=weight, dt=dt, **parameters, **config)
    synapses.build({"spikes": InputSpec((inputs,))})
    return synapses


def _require_expressible(synapses: Any) -> None:
    """Refuse synapses that no row of `Linear` and `LI` computes."""
    if not isinstance(synapses, Synapses):
        raise TypeError(f"synapses must be synapses, got {type(synapses).__name__}.")
    axes, config = synapses.kernel.shape, synapses.config
    tracer = synapses.current_tracer
    if tracer is not None and type(tracer) not in (Tracer, DoubleTracer):
        raise TypeError(
            "to_nir takes synapses with a Tracer, a DoubleTracer or none, got a "
            f"{type(tracer).__name__}."
        )
    if synapses.release_tracer is not None:
        raise TypeError("to_nir takes synapses without short-term plasticity.")
    if config.delays is not None:
        raise ValueError("delays must be None: no row of Linear and LI has any.")
    if config.connectivity != "dense":
        raise ValueError("connectivity must be 'dense', as the weight of a Linear is.")
    if config.async_spikes:
        raise ValueError("async_spikes must be False: in a graph an input has one spike for all.")
    if len(axes) != 2:
        raise ValueError(
            f"the kernel must have one axis of targets and one of inputs, got shape {axes}; write "
            "synapses with flat ones."
        )
    if tracer is not None and tracer.shape != (*synapses.batch, *config.units):
        raise ValueError(
            "tau must be a scalar or one per target, as an LI has it, got one that differs over "
            "the inputs; write synapses for each group of inputs."
        )
    if getattr(config, "integrator", "exact") == "euler":
        raise ValueError(
            "integrator must be 'exact', got 'euler', whose steps solve no equation with this tau; "
            "an exact trace with tau = -dt / log(1 - dt / tau) decays alike."
        )


def _weights(synapses: Synapses) -> NumPyArray:
    """Kernel and scales over the inputs, of shape (targets, inputs)."""
    kernel = np.asarray(synapses.kernel.value)
    weights = kernel.astype(np.float64 if kernel.dtype == np.float64 else np.float32)
    for gain in synapses.gains.values():
        weights = weights * np.asarray(gain.get_value()).T.astype(weights.dtype)
    return weights


def _stages(synapses: Synapses) -> Iterator[Stage]:
    """The stages of the trace, in the order in which they drive each other."""
    tracer = synapses.current_tracer
    if tracer is None:
        return
    units = synapses.config.units
    named = {
        name: np.broadcast_to(np.asarray(value, np.float64), units)
        for name, value in tracer.parameters._asdict().items()
    }
    taus = [named.pop(name) for name in tracer.recurrence.time_constants]
    bases = [named.pop(name) for name in tracer.recurrence.bases]
    yield from zip(taus, named.values(), bases, strict=True)


def _shared(values: NumPyArray) -> float | NumPyArray:
    """One value per target as a scalar, where all share it."""
    return float(values[0]) if values.size and (values == values[0]).all() else values

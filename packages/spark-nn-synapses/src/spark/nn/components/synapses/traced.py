"""`TracedSynapses`, `DoubleTracedSynapses`: the trace of the dot product of kernel and spikes."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from pydantic import field_validator, model_validator

from spark.core.internal import longest_time_constant, rounded_dtype
from spark.core.tracers import (
    BaseTracer,
    DoubleExponential,
    DoubleTracer,
    Exponential,
    Integrator,
    Recurrence,
    Rounding,
    Tracer,
)
from spark.nn.configs import Config, Names

from ._drawn import Bases, Scales, TimeConstants, drawn_fields
from .linear import LinearSynapses, LinearSynapsesConfig


class _TracerConfig(LinearSynapsesConfig):
    """What synapses with a tracer have in common, apart from the parameters of the tracer.

    Attributes:
        integrator: `"exact"`, or `"euler"` to reproduce a model stepped by Euler's method.
        rounding: How half-precision traces are rounded, `"stochastic"` or `"nearest"`.
        trainable: Names of the parameters of the tracer to keep as `nnx.Param`.
    """

    integrator: Integrator = "exact"
    rounding: Rounding = "stochastic"
    trainable: Names = ()

    recurrence_class: ClassVar[type[Recurrence[Any]]]
    """What the currents obey: it names the fields that are its parameters."""

    release_class: ClassVar[type[Recurrence[Any]] | None] = None
    """What the inputs obey, likewise; None without short-term plasticity."""

    @classmethod
    def _names(cls, kind: type[Recurrence[Any]] | None) -> list[str]:
        known = () if kind is None else kind.parameters._fields
        return [name for name in cls.model_fields if name in known]

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the tracer of the currents by name."""
        return {name: getattr(self, name) for name in self._names(self.recurrence_class)}

    @property
    def release(self) -> dict[str, Any]:
        """Parameters of the tracer of the inputs by name; none if there is no such tracer."""
        return {name: getattr(self, name) for name in self._names(self.release_class)}

    @model_validator(mode="after")
    def _time_constants_decay(self) -> Self:
        kept = rounded_dtype(jnp.dtype(self.dtype), self.rounding)
        longest = longest_time_constant(self.dt, kept, self.integrator)
        kinds = [kind for kind in (self.recurrence_class, self.release_class) if kind is not None]
        drawn = drawn_fields(self)  # and looked at when they are
        names = [name for kind in kinds for name in kind.time_constants if name not in drawn]
        for name in names:
            tau = np.max(getattr(self, name), initial=0.0)
            if tau > longest:
                raise ValueError(
                    f"{name} must be at most {longest:.6g} to decay in {kept} rounded to nearest, "
                    f"got {tau:g}: use rounding='stochastic', a wider dtype or a longer dt"
                )
        return self

    @field_validator("trainable")
    @classmethod
    def _name_parameters(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = cls._names(cls.recurrence_class) + cls._names(cls.release_class)
        for name in names:
            if name not in known:
                raise ValueError(f"must name some of {', '.join(known)}, got {name!r}.")
        return names


class TracedSynapsesConfig(_TracerConfig):
    """Configuration of `TracedSynapses`, with the fields of `LinearSynapsesConfig`.

    Attributes:
        tau: Time constant, in the unit of `dt` (ms by convention). Like `scale`, a scalar, an array
            of shape `units` for each target, or one with as many axes as the kernel and
            broadcastable to its shape, for each input or synapse; or `Drawn` per target, input or
            connection.
        scale: What a spike adds, times its weight.
        base: Current at rest, added once per target; a scalar or of shape `units`, or `Drawn`
            per target.
        integrator: `"exact"`, or `"euler"` to reproduce a model stepped by Euler's method.
        rounding: How half-precision traces are rounded, `"stochastic"` or `"nearest"`.
        trainable: Names among `tau`, `scale` and `base` to keep as `nnx.Param`.
    """

    tau: TimeConstants = 5.0
    scale: Scales = 1.0
    base: Bases = 0.0

    recurrence_class: ClassVar[type[Recurrence[Any]]] = Exponential

    @property
    def response(self) -> tuple[Any, ...]:
        """The scale: an exponential is largest at once."""
        return (self.scale,)


class TracedSynapses(LinearSynapses):
    r"""Synapses whose currents decay exponentially: current-based synapses (CUBA).

    Output currents are computed as the trace of the dot product of the kernel with the input
    spikes: each spike adds its weight times `scale` to the current of its target, which decays with
    `tau`,

    $$ \tau \frac{dI_i}{dt} = -(I_i - \mathrm{base}), \qquad
       I_i \mathrel{+}= \mathrm{scale} \sum_j K_{ij} s_j \text{ at each step}. $$

    A trace is linear, so that all inputs of a target that decay alike share one. With a `tau` that
    is a scalar or per target, the state is as large as the targets; with K values over the inputs,
    K times that; only a `tau` that differs at every synapse, or is trained there, has a trace per
    synapse.

    Init:
        units: tuple[int, ...]
        async_spikes: bool
        kernel_initializer: KernelInitializerConfig
        tau: float | jax.Array | Drawn
        scale: float | jax.Array | Drawn
        base: float | jax.Array | Drawn

    Input:
        spikes: SpikeArray

    Output:
        currents: CurrentArray

    Attributes:
        config: The configuration; static.
        current_tracer: The tracer of the currents, of shape `(*batch, *units)`. Where `tau` has
            several values over the inputs, of shape `(*batch, groups, *units)`: a group for each
            value, in ascending order, so that `value[0]` is the current of the shortest time
            constant. Where each synapse has a trace, as where all inputs of a dense kernel differ,
            the axes of the inputs take the place of the groups, in the order of the inputs; along
            stored connections the shape is `(*batch, *input_shape, width)`, with the connections of
            an input one after the other, and `width` those of the longest row; a trained parameter
            that these share keeps the shape of `units`, or one that broadcasts to
            `(*input_shape, *units)`. Traces of groups and synapses rest at 0, and `base` is added
            to their sum.

    References:
        Roth and van Rossum (2009), in De Schutter (ed.), Computational Modeling Methods for
        Neuroscientists, ch. 6, eq. 6.1: the exponential synapse.

    Example:
        >>> import jax.numpy as jnp
        >>> from spark.nn.components.synapses import TracedSynapses
        >>> kernel = jnp.array([[1.0, 2.0, 4.0], [10.0, 20.0, 40.0]])  # 2 targets, 3 inputs
        >>> synapses = TracedSynapses(units=2, kernel_initializer=kernel, tau=5.0, dtype="float32")
        >>> synapses(jnp.array([True, False, True]))
        CurrentArray([ 5. 50.], dtype=float32)
        >>> synapses.scan(jnp.zeros((5, 3), bool))[-1]  # after 5 ms without a spike
        CurrentArray([ 1.839397... 18.39397...], dtype=float32)
    """

    config_class: ClassVar[type[Config]] = TracedSynapsesConfig
    tracer_class: ClassVar[type[BaseTracer] | None] = Tracer

    config: TracedSynapsesConfig
    current_tracer: Tracer


class DoubleTracedSynapsesConfig(_TracerConfig):
    """Configuration of `DoubleTracedSynapses`; see `LinearSynapsesConfig` too.

    Attributes:
        tau_1: Time constant of stage 1, which the spikes drive; in the unit of `dt`. Like the other
            time constant and the scales, of a shape as in `TracedSynapsesConfig`.
        scale_1: What a spike adds to stage 1, times its weight.
        base_1: Value of stage 1 at rest; as `base` in `TracedSynapsesConfig`.
        tau_2: Time constant of stage 2, which stage 1 drives and which is the current.
        scale_2: What stage 1 adds to stage 2 per unit of time; with the Euler integrator, per step.
        base_2: Current at rest, added once per target; likewise.
        integrator: As in `TracedSynapsesConfig`, like `rounding` and `trainable`.
    """

    tau_1: TimeConstants = 5.0
    scale_1: Scales = 1.0
    base_1: Bases = 0.0
    tau_2: TimeConstants = 5.0
    scale_2: Scales = 1.0
    base_2: Bases = 0.0

    recurrence_class: ClassVar[type[Recurrence[Any]]] = DoubleExponential

    @property
    def response(self) -> tuple[Any, ...]:
        """The scales, and a time: a dual exponential peaks below its shorter time constant."""
        times: Any = self.tau_1, self.tau_2
        traced = [tau for tau in times if isinstance(tau, jax.core.Tracer)]
        shorter = traced[0] if traced else min(np.max(tau, initial=0.0) for tau in times)
        return self.scale_1, self.scale_2, shorter / (self.dt if self.integrator == "euler" else 1)


class DoubleTracedSynapses(LinearSynapses):
    r"""Synapses whose currents rise and decay.

    Output currents are computed as the double trace of the dot product of the kernel with the input
    spikes: the response to a spike is its weight times the dual exponential

    $$ \mathrm{scale}_1 \mathrm{scale}_2
       \frac{e^{-t/\tau_1} - e^{-t/\tau_2}}{1/\tau_2 - 1/\tau_1}, $$

    or the alpha function `t exp(-t/tau)` where the time constants are equal. State and parameters
    are shared among inputs as in `TracedSynapses`. A `scale_2` that varies over inputs acts on
    stage 1 already, which drives stage 2 linearly.

    Init:
        units: tuple[int, ...]
        async_spikes: bool
        kernel_initializer: KernelInitializerConfig
        tau_1: float | jax.Array | Drawn
        scale_1: float | jax.Array | Drawn
        base_1: float | jax.Array | Drawn
        tau_2: float | jax.Array | Drawn
        scale_2: float | jax.Array | Drawn
        base_2: float | jax.Array | Drawn

    Input:
        spikes: SpikeArray

    Output:
        currents: CurrentArray

    Attributes:
        config: The configuration; static.
        current_tracer: The tracer of the currents, as in `TracedSynapses`.

    References:
        Roth and van Rossum (2009), in De Schutter (ed.), Computational Modeling Methods for
        Neuroscientists, ch. 6, eqs. 6.3 and 6.4: alpha function and dual exponential.

    Example:
        >>> import jax.numpy as jnp
        >>> from spark.nn.components.synapses import DoubleTracedSynapses
        >>> synapses = DoubleTracedSynapses(
        ...     units=1, kernel_initializer=jnp.ones((1, 1)), tau_1=2.0, tau_2=2.0, dtype="float32"
        ... )
        >>> spike = jnp.zeros((4, 1), bool).at[0].set(True)
        >>> synapses.scan(spike).value[:, 0]  # t exp(-t/2) at t = 0, 1, 2, 3
        Array([0. ..., 0.6065..., 0.7357..., 0.6693...], dtype=float32)
    """

    config_class: ClassVar[type[Config]] = DoubleTracedSynapsesConfig
    tracer_class: ClassVar[type[BaseTracer] | None] = DoubleTracer

    config: DoubleTracedSynapsesConfig
    current_tracer: DoubleTracer

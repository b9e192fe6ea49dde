"""`RUTracedSynapses`: synapses that depress and facilitate."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import field_validator

from spark.core.tracers import BaseTracer, Recurrence, ResourceUsage, RUTracer
from spark.nn.configs import Config

from ._drawn import PortionsOfInputs, TimeConstantsOfInputs
from .traced import TracedSynapses, TracedSynapsesConfig


class RUTracedSynapsesConfig(TracedSynapsesConfig):
    """Configuration of `RUTracedSynapses`, with the fields of `TracedSynapsesConfig`.

    Attributes:
        R_tau: Time constant of the recovery from depression, in the unit of `dt` (ms by
            convention). Like the other two, a scalar, broadcastable to the shape of the inputs, or
            `Drawn` per input.
        U_tau: Time constant of the decay of facilitation.
        scale_U: Part of the unused usage that a spike adds, in [0, 1].
    """

    R_tau: TimeConstantsOfInputs = 100.0
    U_tau: TimeConstantsOfInputs = 50.0
    scale_U: PortionsOfInputs = 0.5

    release_class: ClassVar[type[Recurrence[Any]] | None] = ResourceUsage

    @field_validator("async_spikes")
    @classmethod
    def _release_together(cls, async_spikes: bool) -> bool:
        if async_spikes:
            raise ValueError(
                "must be False, got True: an input releases once for all of its connections; "
                "delays= makes it arrive at different times."
            )
        return async_spikes


class RUTracedSynapses(TracedSynapses):
    r"""`TracedSynapses` with short-term plasticity: they depress and facilitate.

    Each input has a `RUTracer`, resources and their usage, of which a spike releases a part: the
    efficacy `U R`, after facilitation and before depletion. The current is the trace of the dot
    product of the kernel with what is released:

    $$ \tau \frac{dI_i}{dt} = -(I_i - \mathrm{base}), \qquad
       I_i \mathrel{+}= \mathrm{scale} \sum_j K_{ij} U_j R_j s_j \text{ at each step}. $$

    The state is twice as large as the inputs, and as large as the targets. A spike of an input is
    limited to a whole one; an inhibitory spike releases as any other and counts as its negative.
    With delays, a spike releases when it comes, and arrives later.

    Init:
        units: tuple[int, ...]
        async_spikes: bool
        kernel_initializer: KernelInitializerConfig
        tau: float | jax.Array | Drawn
        scale: float | jax.Array | Drawn
        base: float | jax.Array | Drawn
        R_tau: float | jax.Array | Drawn
        U_tau: float | jax.Array | Drawn
        scale_U: float | jax.Array | Drawn

    Input:
        spikes: SpikeArray

    Output:
        currents: CurrentArray

    Attributes:
        config: The configuration; static.
        current_tracer: The tracer of the currents, as in `TracedSynapses`.
        release_tracer: The tracer of the inputs, of shape `(*batch, *input_shape)`.

    References:
        Tsodyks, Pawelzik and Markram (1998), Neural Computation 10:821-835, eqs. 2.1 to 2.5.

    Example:
        >>> import jax.numpy as jnp
        >>> from spark.nn.components.synapses import RUTracedSynapses
        >>> synapses = RUTracedSynapses(
        ...     units=1, kernel_initializer=jnp.ones((1, 1)), tau=2.0, R_tau=800.0, U_tau=1.0,
        ...     scale_U=0.5, dtype="float32",
        ... )
        >>> train = jnp.zeros((50, 1), bool).at[::20].set(True)
        >>> synapses.scan(train).value[::20, 0]  # depression: each spike finds less
        Array([0.5..., 0.2561..., 0.1372...], dtype=float32)
    """

    config_class: ClassVar[type[Config]] = RUTracedSynapsesConfig
    release_class: ClassVar[type[BaseTracer] | None] = RUTracer

    config: RUTracedSynapsesConfig
    release_tracer: RUTracer

"""`SaturatingTracedSynapses`: synapses whose receptors saturate, as those of NMDA do."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from pydantic import field_validator, model_validator

from spark.core.tracers import BaseTracer
from spark.nn.configs import Config

from ._drawn import PortionsOfInputs, TimeConstantsOfInputs, drawn_fields
from ._gates import GateTracer
from .traced import TracedSynapses, TracedSynapsesConfig


class SaturatingTracedSynapsesConfig(TracedSynapsesConfig):
    """Configuration of `SaturatingTracedSynapses`; see `TracedSynapsesConfig` too.

    Attributes:
        tau: Time constant of gates and currents, in the unit of `dt` (ms by convention): a scalar,
            or with as many axes as the kernel, of which those of the targets are 1; or `Drawn` per
            input.
        opening: Part of the closed gates that a spike opens, in [0, 1]; a scalar, broadcastable
            to the shape of the inputs, or `Drawn` per input.
    """

    tau: TimeConstantsOfInputs = 100.0
    opening: PortionsOfInputs = 0.5

    @property
    def release(self) -> dict[str, Any]:
        """Parameters of the gates."""
        tau: Any = self.tau
        if shape := np.shape(tau):
            tau = np.reshape(tau, shape[len(self.units) :])
        return {"tau": tau, "opening": self.opening}

    @model_validator(mode="after")
    def _of_inputs(self) -> Self:
        tau: Any = self.tau
        shape = () if "tau" in drawn_fields(self) else np.shape(tau)
        axes = len(self.units)
        if shape and (len(shape) <= axes or any(size != 1 for size in shape[:axes])):
            raise ValueError(
                "tau must not differ over targets, as a gate belongs to its input: it must be a "
                f"scalar, or of shape {(1,) * axes} + the shape of the inputs; got shape {shape}"
            )
        return self

    @field_validator("integrator")
    @classmethod
    def _exact(cls, integrator: str) -> str:
        if integrator != "exact":
            raise ValueError(f"must be 'exact', as gates have no other step; got {integrator!r}.")
        return integrator

    @field_validator("trainable")
    @classmethod
    def _one_tau(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if "tau" in names:
            raise ValueError("must not name tau, which gates and currents share.")
        return names

    @field_validator("async_spikes")
    @classmethod
    def _open_together(cls, async_spikes: bool) -> bool:
        if async_spikes:
            raise ValueError(
                "must be False, got True: an input has one gate for all of its connections; "
                "delays= makes it open at different times."
            )
        return async_spikes


class SaturatingTracedSynapses(TracedSynapses):
    r"""`TracedSynapses` with receptors that saturate, as those of NMDA do.

    Each input has a gate `g`, the open part of its receptors. A spike opens a part of those that
    are closed, and all close with `tau`. The current is the sum of the gates:

    $$ \tau \frac{dg_j}{dt} = -g_j, \qquad
       g_j \mathrel{+}= \mathrm{opening}\,(1 - g_j) \text{ at each spike}, \qquad
       I_i(t) = \mathrm{base} + \mathrm{scale} \sum_j K_{ij}\, g_j(t - d_{ij}). $$

    A graded spike `x` in [0, 1] opens `opening x` of those.

    A step reads only the rows of the inputs that spike: what a spike adds to its gate is what it
    releases, and the trace of the released is the gate. So everything goes along that does with
    `TracedSynapses`, other than a trained `tau`, `async_spikes` and Euler steps.

    Init:
        units: tuple[int, ...]
        async_spikes: bool
        kernel_initializer: KernelInitializerConfig
        tau: float | jax.Array | Drawn
        scale: float | jax.Array | Drawn
        base: float | jax.Array | Drawn
        opening: float | jax.Array | Drawn

    Input:
        spikes: SpikeArray

    Output:
        currents: CurrentArray

    Attributes:
        config: The configuration; static.
        current_tracer: The tracer of the currents, as in `TracedSynapses`.
        release_tracer: The tracer of the inputs, of shape `(*batch, *input_shape)`; its `trace_R`
            is the closed part of the gates.

    References:
        Wang (1999), Journal of Neuroscience 19:9587-9603.
        Brunel and Wang (2001), Journal of Computational Neuroscience 11:63-85, eqs. 9 and 10; here
        the rise takes no time.

    Example:
        >>> import jax.numpy as jnp
        >>> from spark.nn.components.synapses import SaturatingTracedSynapses
        >>> synapses = SaturatingTracedSynapses(
        ...     units=1, kernel_initializer=jnp.ones((1, 1)), opening=0.5, dtype="float32"
        ... )
        >>> synapses.scan(jnp.ones((4, 1), bool)).value[:, 0]  # it would add up to 1.97 of 2.0
        Array([0.5..., 0.7475..., 0.8700..., 0.9306...], dtype=float32)
    """

    config_class: ClassVar[type[Config]] = SaturatingTracedSynapsesConfig
    release_class: ClassVar[type[BaseTracer] | None] = GateTracer

    config: SaturatingTracedSynapsesConfig
    release_tracer: GateTracer

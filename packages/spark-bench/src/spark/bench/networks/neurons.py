"""Neurons, each a few lines of JAX: one exact step, then threshold, reset and refractoriness."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int
from scipy.special import exprel

from .network import Neuron


class Membrane(NamedTuple):
    """The state of neurons.

    Attributes:
        v: Potentials above rest, mV: in float32 they have more digits than those from 0.
        held: Steps for which each potential is still held.
    """

    v: Float[Array, " neurons"]
    held: Int[Array, " neurons"]


def once(values: Any) -> Any:
    """Values that a CPU computes once, not for each of several outputs that depend on them.

    Elsewhere XLA computes several outputs in one loop anyway.
    """
    return lax.platform_dependent(
        values, cpu=lax.optimization_barrier, default=lambda values: values
    )


def gains(neuron: Neuron, tau: np.ndarray, dt: float) -> np.ndarray:
    """What a current that decays with `tau` adds to the potential in a step, mV per pA.

    `R tau/(tau - tau_m) (exp(-dt/tau) - exp(-dt/tau_m))`, in a form that holds for equal taus.
    """
    decay = np.exp(-dt / neuron.tau_m)
    return dt / neuron.C_m * decay * exprel(dt / neuron.tau_m - dt / tau)


class Leaky:
    """A membrane that a constant current charges, by the exact propagator of a step."""

    def __init__(
        self, neuron: Neuron, tau: np.ndarray, current: np.ndarray, dt: float, dtype: str
    ) -> None:
        """Compute what a step needs.

        Args:
            neuron: Parameters.
            tau: Time constants of the currents, ms, of shape `(traces,)`; empty without traces.
            current: Constant external current of each neuron, pA.
            dt: Time step, ms.
            dtype: Dtype of the potentials.
        """
        self.neuron, self.steps_held = neuron, round(neuron.t_ref / dt)
        self.decay = np.exp(-dt / neuron.tau_m)
        self.gains = gains(neuron, tau, dt)
        lost = -np.expm1(-dt / neuron.tau_m)
        self.drive = jnp.asarray(lost * neuron.tau_m / neuron.C_m * current, dtype)


class Currents(Leaky):
    """`iaf_psc_exp`: currents that jump at a spike and decay exponentially charge the membrane.

    References:
        Rotter and Diesmann (1999), Biological Cybernetics 81:381-402.
    """

    def step(
        self, state: Membrane, currents: Float[Array, "traces neurons"]
    ) -> tuple[Membrane, Bool[Array, " neurons"]]:
        """The state after a step, and who spikes at its end.

        Args:
            state: Before it.
            currents: At the start of the step, one for each time constant, pA.
        """
        free = self.decay * state.v + self.drive
        for gain, current in zip(self.gains.tolist(), currents, strict=True):
            free += gain * current
        return _after(self, state, free)


class Jumps(Leaky):
    """`iaf_psc_delta`: a spike shifts the potential by its weight; not while it is held."""

    def step(
        self, state: Membrane, jumps: Float[Array, " neurons"]
    ) -> tuple[Membrane, Bool[Array, " neurons"]]:
        """The state after a step, and who spikes at its end.

        Args:
            state: Before it.
            jumps: Weights that arrive at the end of the step, mV.
        """
        free = self.decay * state.v + self.drive
        return _after(self, state, free + jumps)


class Conductances:
    """`iaf_cond_exp`: conductances that decay exponentially pull to their reversal potentials.

    The equation has no closed form. A step holds each conductance at its exact mean over the step,
    which is right to the second order of `dt`: of the midpoint method of Magnus.
    """

    def __init__(
        self, neuron: Neuron, tau: np.ndarray, current: np.ndarray, dt: float, dtype: str
    ) -> None:
        """Compute what a step needs; see `Leaky`. Time constants tell conductances apart."""
        self.neuron, self.steps_held = neuron, round(neuron.t_ref / dt)
        self.per_tau = dt / neuron.tau_m
        leak = neuron.C_m / neuron.tau_m
        self.means = -np.expm1(-dt / tau) * tau / dt / leak
        self.reversals = np.where(tau == neuron.tau_syn_ex, neuron.E_ex, neuron.E_in) - neuron.E_L
        self.drive = jnp.asarray(current / leak, dtype)

    def step(
        self, state: Membrane, conductances: Float[Array, "traces neurons"]
    ) -> tuple[Membrane, Bool[Array, " neurons"]]:
        """The state after a step, and who spikes at its end.

        Args:
            state: Before it.
            conductances: At the start of the step, one for each time constant, nS.
        """
        held = [mean * each for mean, each in zip(self.means.tolist(), conductances, strict=True)]
        total = 1 + sum(held)
        pulls = [each * pull for each, pull in zip(held, self.reversals.tolist(), strict=True)]
        towards = (self.drive + sum(pulls)) / total
        free = towards + (state.v - towards) * jnp.exp(-self.per_tau * total)
        return _after(self, state, free)


NEURONS: dict[str, type[Currents | Jumps | Conductances]] = {
    "iaf_psc_exp": Currents,
    "iaf_psc_delta": Jumps,
    "iaf_cond_exp": Conductances,
}
"""By NEST's names."""


def _after(
    rule: Currents | Jumps | Conductances, state: Membrane, free: Float[Array, " neurons"]
) -> tuple[Membrane, Bool[Array, " neurons"]]:
    """Hold potentials after a spike, and reset those that reach the threshold."""
    neuron = rule.neuron
    v = jnp.where(state.held > 0, state.v, free)
    v, spikes = once((v, v >= neuron.V_th - neuron.E_L))
    held = jnp.where(spikes, rule.steps_held, jnp.maximum(state.held - 1, 0))
    return Membrane(jnp.where(spikes, neuron.V_reset - neuron.E_L, v), held), spikes

"""`LinearSynapses`: the dot product of a kernel with the input spikes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import jax.numpy as jnp
from pydantic import model_validator

from spark.core.internal import compute_dtype
from spark.nn.configs import Config, DelayTimes, Dtype, Seed, TimeStep, Units
from spark.nn.configs.fields import Flag
from spark.nn.initializers import KernelInitializer, KernelInitializerConfig

from ._projections.base import Projection, Way
from ._projections.dense import Dense
from .base import Synapses
from .connectivity import Connected
from .delays import as_steps


class LinearSynapsesConfig(Config):
    """Configuration of `LinearSynapses`.

    Attributes:
        units: Shape of the targets; an integer stands for one axis.
        async_spikes: Whether each connection has its own spike; spikes then have shape
            `units + input_shape`, or along stored connections `(connections,)`, in the order of
            `connections`.
        kernel_initializer: A `KernelInitializerConfig`, a function `(key, shape, dtype)`, or an
            array of shape `units + input_shape`; with another connectivity than `"dense"`, of
            shape `(connections,)`, in the order of `connections`. In pA by convention.
        dt: Time step, in the unit of the time constants (ms by convention).
        dtype: Dtype of traces and currents. Arithmetic is at least float32.
        kernel_dtype: Dtype of the kernel, a parameter; None takes float32, or float64 with a
            `dtype` of float64. In half precision an optimizer needs care.
        projection: How spikes are multiplied with the kernel: `"dense"`; `"events"`, by the rows of
            the inputs that spike, which a CPU alone reads one by one; or `"auto"`, the faster.
        connectivity: Which synapses exist: `"dense"`, from every input to every target; or a
            `SparseConnectivity`, `RandomConnectivity`, `FixedFanOut`, `FixedInDegree`,
            `FixedTotal`, `OneToOne`, `AllToAll`, `BlockConnectivity` or `ProceduralConnectivity`.
            The kernel then holds a weight per connection, and so does an array as initializer; of
            procedural ones it holds the parameters of their weights.
        delays: When spikes arrive, in whole multiples of `dt`: a scalar or of the shape of the
            inputs; or with as many axes as the kernel and broadcastable to its shape, for each
            connection. None is no delay.
        seed: Seed of the kernel and of stochastic rounding; None stands for 0.
    """

    units: Units
    async_spikes: Flag = False
    kernel_initializer: KernelInitializer = KernelInitializerConfig(name="sparse_uniform")
    dt: TimeStep = 1.0
    dtype: Dtype = "float16"
    kernel_dtype: Dtype | None = None
    projection: Way = "auto"
    connectivity: Connected = "dense"
    delays: DelayTimes = None
    seed: Seed = None

    synonyms: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("kernel", "weight", "weights"), "kernel_initializer"),
        **dict.fromkeys(("shape", "size", "targets"), "units"),
    }

    projection_class: ClassVar[type[Projection]] = Dense
    """The projection through a dense kernel whose inputs share their traces."""

    @property
    def dtype_of_kernel(self) -> str:
        """Name of the dtype of the kernel: `kernel_dtype`, or the one that None stands for."""
        return str(self.kernel_dtype or compute_dtype(jnp.dtype(self.dtype)))

    @property
    def response(self) -> tuple[Any, ...]:
        """Factors of the largest current of a spike of weight 1, or of a bound of it."""
        return ()

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.delays is not None:
            as_steps("delays", self.delays, self.dt)
        if self.async_spikes and self.delays is not None:
            raise ValueError(
                "async_spikes, spikes of each connection, go with no delays: they have come with "
                "their delays already"
            )
        return self


class LinearSynapses(Synapses):
    r"""Synapses whose currents last one step: the product of kernel and spikes.

    Output currents are computed as the dot product of the kernel with the input spikes, summed over
    all axes of the input:

    $$ I_i = \sum_j K_{ij} s_j. $$

    An inhibitory spike counts as its negative. Nothing decays: a current lasts for one step.

    Init:
        units: tuple[int, ...]
        async_spikes: bool
        kernel_initializer: KernelInitializerConfig

    Input:
        spikes: SpikeArray

    Output:
        currents: CurrentArray

    References:
        Gerstner, Kistler, Naud and Paninski (2014), Neuronal Dynamics, section 1.3.

    Example:
        >>> import jax.numpy as jnp
        >>> from spark.nn.components.synapses import LinearSynapses
        >>> kernel = jnp.array([[1.0, 2.0, 4.0], [10.0, 20.0, 40.0]])  # 2 targets, 3 inputs
        >>> synapses = LinearSynapses(units=2, kernel_initializer=kernel, dtype="float32")
        >>> synapses(jnp.array([True, False, True]))
        CurrentArray([ 5. 50.], dtype=float32)
    """

    config_class: ClassVar[type[Config]] = LinearSynapsesConfig

    config: LinearSynapsesConfig

"""`LinearSynapses`: the dot product of a kernel with the input spikes."""

from __future__ import annotations

from typing import ClassVar

from spark.nn.configs import Config, Dtype, Seed, TimeStep, Units
from spark.nn.initializers import KernelInitializer, KernelInitializerConfig

from .base import Synapses
from .projection import Way


class LinearSynapsesConfig(Config):
    """LinearSynapses model configuration class.

    Attributes:
        units: Shape of the targets; an integer stands for one axis.
        async_spikes: Whether each connection has its own spike; spikes then have shape
            `units + input_shape`.
        kernel_initializer: A `KernelInitializerConfig`, a function `(key, shape, dtype)`, or an
            array of shape `units + input_shape`. In pA by convention.
        dt: Time step, in the unit of the time constants (ms by convention).
        dtype: Dtype of traces and currents. Arithmetic is at least float32.
        kernel_dtype: Dtype of the kernel; None takes `dtype`.
        projection: How spikes are multiplied with the kernel: `"dense"`; `"events"`, by adding the
            rows of the inputs that spike; or `"auto"`, the faster of the two.
        seed: Seed of the kernel and of stochastic rounding; None stands for 0.
    """

    units: Units
    async_spikes: bool = False
    kernel_initializer: KernelInitializer = KernelInitializerConfig(name="sparse_uniform")
    dt: TimeStep = 1.0
    dtype: Dtype = "float16"
    kernel_dtype: Dtype | None = None
    projection: Way = "auto"
    seed: Seed = None


class LinearSynapses(Synapses):
    r"""Linear synaptic model.

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

"""`Synapses`: what every synapse module shares - its kernel, its tracers, and its verbs."""

from __future__ import annotations

import abc
import functools
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, ArrayLike, Int

from spark.core.internal import METHODS, CheckedModule, as_key, one_of
from spark.core.tracers import BaseTracer, Constant, Method
from spark.nn.configs import Config
from spark.nn.payloads import CurrentArray, FloatArray, SpikeArray

from .arguments import (
    InputSpec,
    as_spec,
    as_spikes,
    outside_transforms,
    require_no_time,
)
from .assignment import checked_value, require_assignable
from .building import Parts, assemble
from .delays import DelayLine
from .drive import Drive, Kernel
from .kernel import as_kernel
from .partition import Partition
from .pathway import Arrays, Pathway, SynapseState
from .projection import inputs_first
from .rows import Wires
from .wiring import Wiring


class Synapses(CheckedModule, abc.ABC):
    """Base of synapse modules: spikes in, currents out.

    It holds configuration, kernel and tracer, checks what comes in, and has the verbs `build`,
    call, `scan` and `reset`. A kind of synapse says which configuration it takes, and which tracers
    stand between spikes and projection, and between what the spikes drive and the current, if any.

    Attributes:
        config: The configuration; static.
        weights: The kernel as a matrix (inputs, targets), so that the weights of an input lie side
            by side; with another connectivity than `"dense"`, as one axis, input by input. An
            `nnx.Param`. None before `build`.
        current_tracer: The tracer that the drive runs through, or None.
        release_tracer: The tracer of the inputs whose efficacy spikes have, or None.
        wires: What the connections are read from; none if every input reaches every target.
        delays: Delays of the inputs in steps, or None.
        spikes_on_way: Spikes that are delayed, or None.
        drive_on_way: What is delayed of the drive, where each connection has its delay, or None.
        pathway: The pure functions that the module runs; static. None before `build`.
        batch: Leading axes of the state; static.
        gains: Scales that vary over inputs, by name, as matrices (inputs, targets) with axes whole
            or of size 1, or along rows with one entry per connection; the others are those of the
            tracer.
        base: What is added once per target where the inputs of a target have several traces.
        groups: Which group of inputs with one time constant each input belongs to, if any.
    """

    config_class: ClassVar[type[Config]]
    """What `config` is an instance of."""

    tracer_class: ClassVar[type[BaseTracer] | None] = None
    """What the drive runs through; None passes it on."""

    release_class: ClassVar[type[BaseTracer] | None] = None
    """What gives the efficacy of the spikes of an input; None leaves it at 1."""

    config: Any
    weights: nnx.Param[Array] | None
    current_tracer: BaseTracer | None
    release_tracer: BaseTracer | None
    wires: list[Constant]
    delays: Constant | None
    spikes_on_way: DelayLine | None
    drive_on_way: DelayLine | None
    pathway: Pathway | None
    batch: tuple[int, ...]
    gains: dict[str, nnx.Variable[Array]]
    base: nnx.Variable[Array] | None
    groups: Constant | None

    def __init__(
        self, config: Config | None = None, *, rngs: nnx.Rngs | None = None, **kwargs: Any
    ) -> None:
        """Keep the configuration; nothing is allocated before `build`.

        Args:
            config: The configuration; None takes all fields from keywords.
            rngs: Where the kernel and stochastic rounding draw from, by the streams `params` and
                `rounding`; None draws from the `seed` of the configuration.
            **kwargs: Fields of the configuration, which override it.

        Raises:
            TypeError: If `config` or `rngs` has the wrong type.
            ConfigError: If a field is unknown, missing or wrong.
        """
        if config is None:
            config = self.config_class(**kwargs)
        elif not isinstance(config, self.config_class):
            raise TypeError(
                f"config must be a {self.config_class.__name__} or None, got {config!r}."
            )
        elif kwargs:
            config = config.replace(**kwargs)
        if rngs is not None and not isinstance(rngs, nnx.Rngs):
            raise TypeError(f"rngs must be an nnx.Rngs or None, got {rngs!r}.")
        # Forked, so that it stays with this module where a transform splits the caller's.
        self.rngs = nnx.data(None if rngs is None else rngs.fork())
        self.batch = ()
        self.pathway = None
        for name, nothing in vars(Parts()).items():
            setattr(self, name, nnx.data(nothing))
        self.config = config  # last: from here on, assignments are checked

    def build(self, input_specs: Mapping[str, Any], *, partition: Partition | None = None) -> None:
        """Allocate kernel and state, anew if they were there.

        Args:
            input_specs: A mapping with the key `spikes`: an `InputSpec`, or anything with a shape,
                such as an array or a `SpikeArray` of one step.
            partition: How to cut kernel and state over several devices; None keeps them whole.

        Raises:
            TypeError: If it is no such mapping, or no partition.
            ValueError: If a shape makes no sense, or the kernel, the connectivity, delays, a
                parameter or the partition does not fit it.
        """
        config = self.config
        spec = as_spec(input_specs, config)
        # A copy: what is refused has drawn nothing.
        rngs = None if self.rngs is None else nnx.clone(self.rngs)
        if rngs is None:
            key = seed = as_key(config.seed)
        else:
            key, seed = rngs.params(), rngs.rounding()
        pathway, parts = assemble(
            config, spec, key, seed, self.tracer_class, self.release_class, partition
        )
        # From here on nothing is refused.
        if rngs is not None:
            nnx.update(self.rngs, nnx.state(rngs))
        arrays = {name: nnx.data(part) for name, part in vars(parts).items()}
        self._replace(pathway=pathway, batch=spec.batch, **arrays)

    @property
    def kernel(self) -> FloatArray:
        """The kernel, of shape `units + input_shape`; set it from an array or a payload.

        With another connectivity than `"dense"`, of shape `(connections,)`, in the order of
        `connections`; of procedural connectivity, the parameters of the law of the weights.

        Raises:
            RuntimeError: If there is none yet.
            TypeError: If it is set to something else than numbers.
            ValueError: If it is set to a wrong shape, or to a value that is not finite.
        """
        drive, weights = self._built()
        value = weights.get_value()
        return FloatArray(value if value.ndim == 1 else value.T.reshape(drive.kernel_shape))

    @kernel.setter
    def kernel(self, kernel: ArrayLike | FloatArray) -> None:
        drive, weights = self._built()
        value = weights.get_value()
        if value.ndim == 1:
            checked = as_kernel("kernel", kernel, value.shape, value.dtype, "the connections")
            weights.set_value(jnp.asarray(checked))
            return
        checked = as_kernel("kernel", kernel, drive.kernel_shape, value.dtype)
        matrix = inputs_first(checked, len(drive.units))
        if drive.partition is None:
            weights.set_value(jnp.asarray(matrix))
        else:
            weights.set_value(matrix)
            drive.partition.place(weights, drive.partition.kernel)

    @property
    def connections(self) -> tuple[Int[Array, " connections"], Int[Array, " connections"]]:
        """Input and target of each connection, counted in row-major order.

        In the order of the kernel with another connectivity than `"dense"`; input by input with it.
        Procedural connections are drawn for the occasion.

        Raises:
            RuntimeError: If the module is not built.
        """
        drive, _ = self._built()
        targets = math.prod(drive.units)
        if drive.rows is None:
            pre, post = jnp.indices((math.prod(drive.inputs), targets), dtype=jnp.int32)
            return pre.reshape(-1), post.reshape(-1)
        return Wiring(drive.rows, self._wires()).connections(targets)

    def _require_assignable(self, name: str, value: Any) -> None:
        if "config" in vars(self):
            require_assignable(self, name, value)

    def _checked_value(self, name: str, value: Any) -> Array | None:
        return checked_value(self, name, value)

    def reset(self) -> None:
        """Put every trace to rest, and forget what is on its way.

        Kernel and random numbers stay as they are.
        """
        for each in (
            self.current_tracer,
            self.release_tracer,
            self.spikes_on_way,
            self.drive_on_way,
        ):
            if each is not None:
                each.reset()

    def __call__(self, spikes: SpikeArray | ArrayLike) -> CurrentArray:
        """Take one step.

        Args:
            spikes: Spikes that arrive at the end of the step, of shape `(*batch, *input_shape)`;
                with `async_spikes`, `(*batch, *units, *input_shape)`. Booleans, or numbers for
                graded spikes.

        Returns:
            The currents after the step, of shape `(*batch, *units)`.

        Raises:
            TypeError: If the spikes are no real numbers.
            ValueError: If their shape is wrong, or they are asynchronous and should not be.
            RuntimeError: If the module is not built, inside a JAX transform.
        """
        checked = self._checked(spikes, time=0)
        state, currents = _step(self.pathway, self._arrays(), self._state(), checked)
        self._keep(state)
        return currents

    def scan(self, spikes: SpikeArray | ArrayLike, method: Method = "auto") -> CurrentArray:
        """Take one step per leading entry of `spikes`.

        Args:
            spikes: As in a call, with time as the leading axis; an inhibition mask has none.
            method: How to run the tracer over time, as in `Tracer.scan`.

        Returns:
            The currents after each step, of shape `(time, *batch, *units)`.

        Raises:
            TypeError: As in a call.
            ValueError: As in a call; or if the method is unknown.
            RuntimeError: As in a call.
        """
        one_of("method", method, METHODS)
        checked = self._checked(spikes, time=1)
        state, currents = _scan(self.pathway, method, self._arrays(), self._state(), checked)
        self._keep(state)
        return currents

    def _checked(self, spikes: Any, time: int) -> SpikeArray:
        """Spikes of the right shape, with `time` leading axes; builds the module if need be."""
        given = as_spikes(spikes, self.config.async_spikes)
        shape = given.spikes.shape[time:]
        if given.spikes.ndim < time:
            raise ValueError("spikes must have time as their leading axis, got a scalar.")
        require_no_time(given.inhibition_mask, shape)
        if self.pathway is None:
            if not outside_transforms():
                raise RuntimeError(
                    f"{type(self).__name__} is not built, and a call inside a JAX transform cannot "
                    "build it: call build({'spikes': InputSpec(shape)}) first."
                )
            self.build({"spikes": InputSpec(shape, given.async_spikes)})
        drive, _ = self._built()
        wanted = self.batch + drive.spikes_shape
        if shape != wanted:
            after = " after time" if time else ""
            raise ValueError(
                f"spikes must have shape {wanted}{after}, got {shape}; batch axes are given to "
                "build."
            )
        return given

    described: ClassVar[Mapping[str, str]] = {"_static": ""}

    @property
    def _static(self) -> dict[str, Any]:
        """Static values that a checkpoint must share with the synapses it is restored to."""
        static = {} if self.pathway is None else vars(self.pathway.drive)
        return {name: value for name, value in static.items() if name not in ("way", "partition")}

    def _built(self) -> tuple[Drive, nnx.Param[Array]]:
        if self.pathway is None or self.weights is None:
            raise RuntimeError(
                f"{type(self).__name__} has no kernel before it is built: call "
                "build({'spikes': InputSpec(shape)})."
            )
        return self.pathway.drive, self.weights

    def _arrays(self) -> Arrays:
        _, weights = self._built()
        tracer = self.current_tracer
        kernel = Kernel(
            (weights.get_value(), *[gain.get_value() for gain in self.gains.values()]),
            None if self.groups is None else self.groups.get_value(),
            self._wires(),
        )
        return Arrays(
            kernel,
            None if self.base is None else self.base.get_value(),
            None if tracer is None else tracer.parameters,
            None if self.delays is None else self.delays.get_value(),
            None if self.release_tracer is None else self.release_tracer.parameters,
        )

    def _wires(self) -> Wires | None:
        if not self.wires:
            return None
        first, second = self.wires
        return first.get_value(), second.get_value()

    def _state(self) -> SynapseState:
        return SynapseState(
            None if self.current_tracer is None else self.current_tracer.state,
            None if self.release_tracer is None else self.release_tracer.state,
            None if self.spikes_on_way is None else self.spikes_on_way.ring,
            None if self.drive_on_way is None else self.drive_on_way.ring,
        )

    def _keep(self, state: SynapseState) -> None:
        for tracer, traces in (
            (self.current_tracer, state.tracer),
            (self.release_tracer, state.release),
        ):
            if tracer is not None and traces is not None:
                tracer.set_state(traces)
        for line, ring in (
            (self.spikes_on_way, state.spikes),
            (self.drive_on_way, state.drive),
        ):
            if line is not None and ring is not None:
                line.keep(ring)


# One compiled program per pathway, shapes and dtypes, whichever module calls it.
@functools.partial(jax.jit, static_argnums=0)
def _step(
    pathway: Pathway, arrays: Arrays, state: SynapseState, spikes: SpikeArray
) -> tuple[SynapseState, CurrentArray]:
    state, currents = pathway.step(arrays, state, spikes.value)
    return state, CurrentArray(currents)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _scan(
    pathway: Pathway, method: Method, arrays: Arrays, state: SynapseState, spikes: SpikeArray
) -> tuple[SynapseState, CurrentArray]:
    state, currents = pathway.scan(arrays, state, spikes.value, method)
    return state, CurrentArray(currents)

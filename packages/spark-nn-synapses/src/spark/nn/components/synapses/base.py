"""`Synapses`: what every synapse module shares - its configuration, and its verbs."""

from __future__ import annotations

import abc
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
from flax import nnx
from jaxtyping import Array, ArrayLike, Int

from spark.core.internal import METHODS, as_key, one_of
from spark.core.tracers import BaseTracer, Method
from spark.nn.configs import Config
from spark.nn.payloads import CurrentArray, FloatArray, SpikeArray

from ._arguments import (
    InputSpec,
    as_lengths,
    as_spec,
    as_spikes_over,
    outside_transforms,
    require_shape,
)
from ._build import build
from ._chain import Chain
from ._linked import LinkedModule
from ._signature import ConstructorSignature
from .partition import Partition


class Synapses(LinkedModule, abc.ABC):
    """Base of synapse modules: spikes in, currents out.

    It holds a configuration and the links of a chain, checks what comes in, and has the verbs
    `build`, call, `scan`, `reset` and `masked_reset`. A kind of synapse says which configuration it
    takes, and which tracers stand before and after the projection, if any.

    Attributes:
        config: The configuration; static.
        chain: The pure functions that the module runs, as `chain.step(parameters, state, spikes)`;
            static. None before `build`, like the links.
        batch: Leading axes of the state; static.
        release_tracer: Link of the release: the tracer of the inputs whose efficacy spikes have.
            None, like other links, where there is no such stage.
        delay_line: Link of the delay: delays of the inputs in steps, and spikes on their way.
        matrix: Link of the projection: weights and connections, and sums on their way.
        current_tracer: Link of the trace: the tracer that the sums run through.
        total: Link of the total: what is added once per target that has several traces.
    """

    __signature__ = ConstructorSignature()

    config_class: ClassVar[type[Config]]
    """What `config` is an instance of."""

    tracer_class: ClassVar[type[BaseTracer] | None] = None
    """What the drive runs through; None passes it on."""

    release_class: ClassVar[type[BaseTracer] | None] = None
    """What gives the efficacy of the spikes of an input; None leaves it at 1."""

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
            hint = f"; give fields by name: units={config!r}" if isinstance(config, int) else ""
            raise TypeError(
                f"config must be a {self.config_class.__name__} or None, got {config!r}{hint}."
            )
        elif kwargs:
            config = config.replace(**kwargs)
        if rngs is not None and not isinstance(rngs, nnx.Rngs):
            raise TypeError(f"rngs must be an nnx.Rngs or None, got {rngs!r}.")
        # Forked, so that it stays with this module where a transform splits the caller's.
        self.rngs = nnx.data(None if rngs is None else rngs.fork())
        self.chain, self.batch = None, ()
        self.release_tracer, self.current_tracer = nnx.data(None), nnx.data(None)
        self.delay_line, self.matrix, self.total = nnx.data(None), nnx.data(None), nnx.data(None)
        self.config = config  # last: from here on, assignments are checked

    def build(self, input_specs: Mapping[str, Any], *, partition: Partition | None = None) -> None:
        """Allocate kernel and state, anew if they were there.

        Args:
            input_specs: A mapping with the key `spikes`: an `InputSpec`, or anything with a shape,
                such as an array or a `SpikeArray` of one step.
            partition: How to shard kernel and state over several devices; None keeps them whole.

        Raises:
            TypeError: If it is no such mapping, or no partition.
            ValueError: If a shape makes no sense, or the kernel, the connectivity, delays, a
                parameter or the partition does not fit it.
        """
        config = self.config
        spec = as_spec(input_specs, config)
        # A copy: what is refused has drawn nothing.
        rngs = None if self.rngs is None else nnx.clone(self.rngs)
        key = seed = as_key(config.seed)
        if rngs is not None:
            key, seed = rngs.params(), rngs.rounding()
        chain, links = build(
            config, spec, key, seed, self.tracer_class, self.release_class, partition
        )
        # From here on nothing is refused.
        if rngs is not None:
            nnx.update(self.rngs, nnx.state(rngs))
        held = {name: nnx.data(link) for name, link in links._asdict().items()}
        self._replace(chain=chain, batch=spec.batch, **held)

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
        return self._built().kernel

    @kernel.setter
    def kernel(self, kernel: ArrayLike | FloatArray) -> None:
        self._built().kernel = kernel

    @property
    def connections(self) -> tuple[Int[Array, " connections"], Int[Array, " connections"]]:
        """Input and target of each connection, counted in row-major order.

        In the order of the kernel with another connectivity than `"dense"`; input by input with it.
        Procedural connections are drawn for the occasion.

        Raises:
            RuntimeError: If the module is not built.
        """
        return self._built().connections

    def __call__(self, spikes: SpikeArray | ArrayLike) -> CurrentArray:
        """Take one step.

        Args:
            spikes: Spikes that arrive at the end of the step, of shape `(*batch, *input_shape)`;
                with `async_spikes`, `(*batch, *units, *input_shape)`, or along stored connections
                `(*batch, connections)`. Booleans, or numbers for graded spikes.

        Returns:
            The currents after the step, of shape `(*batch, *units)`.

        Raises:
            TypeError: If the spikes are no real numbers.
            ValueError: If their shape is wrong, or they are asynchronous and should not be.
            RuntimeError: If the module is not built, inside a JAX transform.
        """
        return self._run(None, self._checked(spikes, time=0))

    def scan(
        self,
        spikes: SpikeArray | ArrayLike,
        method: Method = "auto",
        *,
        lengths: ArrayLike | None = None,
    ) -> CurrentArray:
        """Take one step per leading entry of `spikes`.

        Args:
            spikes: As in a call, with time as the leading axis; an inhibition mask has none.
            method: How to run the tracer over time, as in `Tracer.scan`.
            lengths: How many steps each entry of the batch takes: integers of the shape of the
                batch axes, from 0 up to the number of steps. What follows is padding: it is not
                read, its currents are 0, and the state of the entry stays as it is. None: all take
                all steps. The stream of stochastic rounding counts all steps in any case.

        Returns:
            The currents after each step, of shape `(time, *batch, *units)`.

        Raises:
            TypeError: As in a call; or if lengths are no integers.
            ValueError: As in a call; or if the method is unknown, or lengths have another shape or
                lie outside of their range.
            RuntimeError: As in a call.
        """
        one_of("method", method, METHODS)
        given = self._checked(spikes, time=1)
        if lengths is not None:
            lengths = as_lengths(lengths, self.batch, len(given.spikes))
        return self._run(method, given, lengths)

    def _run(
        self, method: Method | None, spikes: SpikeArray, lengths: Array | None = None
    ) -> CurrentArray:
        assert self.chain is not None
        chain = self.chain.taking(spikes.spikes)
        state, currents = _run(chain, method, self.parameters, self.state, spikes, lengths)
        # Not by set_state, of which nnx.tabulate would make a row: it shows no nested tuples.
        for link, each in zip(self.links, state, strict=True):
            link.set_state(each)
        return currents

    def _checked(self, spikes: Any, time: int) -> SpikeArray:
        """Spikes of the right shape, with `time` leading axes; builds the module if need be."""
        given = as_spikes_over(spikes, self.config.async_spikes, time)
        if self.matrix is None:
            if not outside_transforms():
                raise RuntimeError(
                    f"{type(self).__name__} is not built, and a call inside a JAX transform cannot "
                    "build it: call build({'spikes': InputSpec(shape)}) first."
                )
            if given.async_spikes and self.config.connectivity != "dense":
                raise RuntimeError(
                    f"{type(self).__name__} is not built, and spikes of connections do not tell "
                    "the shape of the inputs: call build({'spikes': InputSpec(input_shape, "
                    "async_spikes=True)}) first."
                )
            self.build({"spikes": InputSpec(given.spikes.shape[time:], given.async_spikes)})
        require_shape(given, self.batch + self._built().spikes_shape, time)
        return given


# One compiled program per chain, shapes and dtypes, whichever module calls it.
@functools.partial(jax.jit, static_argnums=(0, 1))
def _run(
    chain: Chain,
    method: Method | None,
    parameters: Any,
    state: Any,
    spikes: SpikeArray,
    lengths: Array | None,
) -> tuple[Any, CurrentArray]:
    """Take one step; or one per leading entry, by a method."""
    if method is None:
        state, currents = chain.step(parameters, state, spikes.value)
    else:
        state, currents = chain.scan(parameters, state, spikes.value, method, lengths)
    return state, CurrentArray(currents)

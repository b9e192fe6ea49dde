"""`Delays`: spikes that arrive some steps later; and delays in steps."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, ArrayLike

from spark.core.internal import CheckedModule, as_dt, as_shape, as_storage_dtype
from spark.core.tracers import Constant
from spark.nn.initializers import Distribution
from spark.nn.payloads import SpikeArray

from ._arguments import as_lengths, as_mask, as_spikes, leading, require_no_time
from ._chain import silenced, within_lengths
from ._stages.base import saturated
from ._stages.delay import Delay, DelayLine
from ._stages.ring import RingBuffer

_CHUNK = 1 << 16
"""Delays that are looked through at once."""


def require_delays(delays: Distribution | float | None) -> None:
    """Refuse delays that may be negative.

    Raises:
        ValueError: If they may.
    """
    low = delays.support[0] if isinstance(delays, Distribution) else delays
    if low is not None and low < 0:
        raise ValueError(
            f"delays must be 0 or more, got {delays!r}; low=0 is a bound of a distribution"
        )


def as_steps(name: str, delays: Any, dt: float) -> np.ndarray[Any, Any]:
    """Delays in steps.

    Args:
        name: What an error calls them.
        delays: Delays >= 0, multiples of `dt` within the rounding of their dtype, on both sides of
            0 too.
        dt: Time step.

    Raises:
        ValueError: If they are not.
    """
    given = np.asarray(delays)
    floating = jnp.issubdtype(given.dtype, jnp.floating)
    digits = float(jnp.finfo(given.dtype if floating else np.float64).eps)
    found = np.empty(given.size, np.int32)
    flat = given.reshape(-1)
    for first in range(0, given.size, _CHUNK):
        some = flat[first : first + _CHUNK]
        steps = some.astype(np.float64) / dt
        whole = np.rint(steps)
        with np.errstate(invalid="ignore"):  # of what is infinite
            near = np.abs(steps - whole) <= 8 * digits * np.maximum(np.abs(steps), 1)
            wrong = ~(near & (whole >= 0))
        if wrong.any():
            where = int(np.argmax(wrong))
            index = tuple(int(i) for i in np.unravel_index(first + where, given.shape))
            at = f" at index {index}" if index else ""
            raise ValueError(
                f"{name} must be whole multiples of dt = {dt:.15g}, 0 or more; "
                f"got {float(some[where]):.15g}{at}."
            )
        if whole.max() >= 2**31:
            raise ValueError(f"{name} must be below 2^31 steps, got {float(some.max()):g}.")
        found[first : first + _CHUNK] = whole
    return found.reshape(given.shape)


class Delays(CheckedModule):
    """Spikes that arrive some steps later: after a delay of each input, or of each connection.

    A spike of step `t` with a delay of `d` steps leaves in step `t + d`. Delays of inputs give
    spikes of inputs. Delays of connections give each connection its own spikes, for synapses with
    `async_spikes`; synapses that are given `delays` themselves need not spread them so.

    Attributes:
        shape: Shape of the inputs.
        units: Shape of the targets, if each connection has a delay.
        line: What is on its way; None if no delay is longer than 0.

    Example:
        >>> import jax.numpy as jnp
        >>> from spark.nn.components.synapses import Delays
        >>> delays = Delays(shape=2, delays=[0.0, 2.0])
        >>> train = jnp.array([[True, True], [False, False], [False, False]])
        >>> delays.scan(train).spikes.astype(int)
        Array([[1, 0], [0, 0], [0, 1]], dtype=int32)
    """

    line: DelayLine | None

    def __init__(
        self,
        shape: int | Sequence[int],
        delays: ArrayLike,
        units: int | Sequence[int] | None = None,
        *,
        dt: float = 1.0,
        batch: Sequence[int] = (),
        dtype: Any = bool,
    ) -> None:
        """Create a line on which nothing is on its way.

        Args:
            shape: Shape of the inputs; an integer stands for one axis.
            delays: Delays >= 0, whole multiples of `dt`: a scalar or of shape `shape`; with
                `units`, of shape `units + shape`.
            units: Shape of the targets, if each connection has a delay; None if it has not.
            dt: Time step, in the unit of the delays (ms by convention).
            batch: Leading axes of the spikes, one entry per sequence run side by side.
            dtype: What spikes are kept as: `bool`, or a floating dtype for graded ones.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If a delay is no multiple of `dt`, or their shape is another.
        """
        self.shape, self.batch = as_shape(shape), as_shape(batch, "batch")
        self.units = None if units is None else as_shape(units, "units")
        self.dt, self.dtype = as_dt(dt), jnp.dtype(dtype)
        if self.dtype != bool:
            if not jnp.issubdtype(self.dtype, jnp.floating):
                raise TypeError(f"dtype must be bool or a floating dtype, got {self.dtype}.")
            self.dtype = as_storage_dtype(self.dtype)
        steps = as_steps("delays", delays, self.dt)
        wanted = ((), self.shape) if self.units is None else (self.units + self.shape,)
        if steps.shape not in wanted:
            raise ValueError(
                f"delays must have shape {' or '.join(map(str, wanted))}, got {steps.shape}."
            )
        inputs, longest = math.prod(self.shape), int(steps.max(initial=0))
        if self.units is not None:
            steps = steps.reshape(math.prod(self.units), inputs)
        elif steps.ndim:
            steps = steps.reshape(inputs)
        self.delays = Constant(jnp.asarray(steps))
        line = None
        if longest or self.units is not None:
            line = DelayLine((longest + 1, *self.batch, inputs), self.dtype)
        self.stage = Delay(self.shape, self.units or ())
        self.line = nnx.data(line)

    def _require_assignable(self, name: str, value: Any) -> None:
        if "line" in vars(self) and name in (
            "shape",
            "units",
            "delays",
            "dt",
            "batch",
            "dtype",
            "line",
        ):
            raise AttributeError(f"{name} of Delays is fixed when they are made: make new ones.")

    def __call__(self, spikes: SpikeArray | ArrayLike) -> SpikeArray:
        """Take one step.

        Args:
            spikes: Spikes of shape `(*batch, *shape)`.

        Returns:
            The spikes that arrive: of the same shape; or of shape `(*batch, *units, *shape)`, with
            `async_spikes`. An inhibition mask goes with them.

        Raises:
            TypeError: If graded spikes come where booleans are kept.
            ValueError: If their shape is wrong, or connections have their own spikes already.
        """
        return self._run(spikes, 0)

    def scan(
        self, spikes: SpikeArray | ArrayLike, *, lengths: ArrayLike | None = None
    ) -> SpikeArray:
        """Take one step per leading entry of `spikes`.

        Args:
            spikes: As in a call, with time as the leading axis; an inhibition mask has none.
            lengths: How many steps each entry of the batch takes, as in `Synapses.scan`: no spike
                arrives later.

        Raises:
            TypeError: As in a call; or if lengths are no integers.
            ValueError: As in a call; or if lengths have another shape, or are out of range.
        """
        return self._run(spikes, 1, lengths)

    def reset(self) -> None:
        """Forget the spikes that are on their way."""
        if self.line is not None:
            self.line.reset()

    def masked_reset(self, mask: ArrayLike) -> None:
        """Forget the spikes that are on their way in some entries of a batch.

        Args:
            mask: Boolean, broadcastable to the batch axes.

        Raises:
            TypeError: If `mask` is not boolean.
            ValueError: If `mask` does not broadcast to the batch axes.
        """
        checked = as_mask(mask, self.batch)
        if self.line is not None:
            self.line.masked_reset(leading(checked, checked.ndim + 1))

    def _run(self, spikes: SpikeArray | ArrayLike, time: int, lengths: Any = None) -> SpikeArray:
        if isinstance(spikes, SpikeArray) and spikes.async_spikes:
            raise ValueError("spikes must be those of the inputs, got async_spikes=True.")
        given = as_spikes(spikes, False)
        values, mask = given.spikes, given.inhibition_mask
        wanted = self.batch + self.shape
        if values.ndim < time or values.shape[time:] != wanted:
            raise ValueError(
                f"spikes must have shape {wanted}{' after time' if time else ''}, "
                f"got {values.shape}."
            )
        require_no_time(mask, wanted)
        if self.dtype == bool and values.dtype != bool:
            raise TypeError(
                f"spikes must be booleans, got {values.dtype}: Delays(..., dtype='float32') keeps "
                "graded spikes."
            )
        if lengths is not None:
            lengths = as_lengths(lengths, self.batch, len(values))
            values = silenced(values, within_lengths(len(values), lengths))
        if self.line is not None:
            state, values = _delay(
                time, self.stage, self.delays.get_value(), self.line.state, values, lengths
            )
            self.line.set_state(state)
        else:
            values = saturated(values, self.dtype)
        if mask is not None and self.units is not None:
            mask = jnp.broadcast_to(mask, wanted)
            axes = tuple(range(len(self.batch), len(self.batch) + len(self.units)))
            mask = jnp.broadcast_to(jnp.expand_dims(mask, axes), values.shape[time:])
        return SpikeArray(values, mask, self.units is not None)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _delay(
    time: int, stage: Delay, delays: Any, state: RingBuffer, x: Array, lengths: Array | None
) -> Any:
    run, carry = stage.begin(delays, state)
    if not time:
        carry, late = run.step(carry, x)
    else:
        carry, late = run.scan(carry, x, lengths=lengths)
        late = late if lengths is None else silenced(late, within_lengths(len(x), lengths))
    return stage.end(state, carry), late

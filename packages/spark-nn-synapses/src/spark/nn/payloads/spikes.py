"""`SpikeArray`: which neurons spike, which of them inhibit, and the same as times and ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Num
from numpy.typing import ArrayLike

from spark.core.internal import as_flag, own, require_fit

from .arrays import as_array, describe, is_concrete
from .payload import ArrayPayload
from .times import events, raster


class SpikeArray(ArrayPayload):
    """Spikes of a population, in one step or over time.

    It is a pytree, and JAX treats the mask, which has no time axis, like its other leaves.
    So index `spikes[t]`; hand `spikes.spikes` to `lax.scan` and put the mask on inside; map over
    the spikes alone with `jax.vmap(f, in_axes=(spikes.axes(0),))`. `np.asarray(spikes)` and other
    functions of NumPy read `value`; give functions of `jax.numpy` `spikes.value`. `==` compares
    `value` element by element, whatever the masks and `async_spikes`.

    Attributes:
        spikes: Booleans, or numbers for graded spikes and surrogate gradients; of the shape of the
            population, or with time as a leading axis.
        inhibition_mask: True where a neuron inhibits, so that its spike counts as its negative; it
            has no time axis. None if there is none.
        async_spikes: Whether each connection has its own spike, after delays of its own; spikes
            then have the shape of the targets followed by that of the inputs. Static.

    Example:
        >>> import jax.numpy as jnp
        >>> from spark.nn.payloads import SpikeArray
        >>> spikes = SpikeArray(jnp.array([True, False, True]), jnp.array([False, False, True]))
        >>> spikes
        SpikeArray(bool[3], 2 spikes, inhibition_mask=bool[3])
        >>> spikes.value
        Array([ 1,  0, -1], dtype=int8)
    """

    arrays = ("spikes", "inhibition_mask")
    static = ("async_spikes",)

    spikes: Num[Array, "..."] | Bool[Array, "..."]
    inhibition_mask: Bool[Array, "..."] | None
    async_spikes: bool

    def __init__(
        self,
        spikes: ArrayLike,
        inhibition_mask: ArrayLike | None = None,
        async_spikes: bool = False,
    ) -> None:
        """Check and keep.

        Args:
            spikes: An array of booleans, integers or floats.
            inhibition_mask: An array of booleans that broadcasts to the shape of the spikes.
            async_spikes: Whether each connection has its own spike.

        Raises:
            TypeError: If an argument has the wrong type or dtype.
            ValueError: If the mask does not broadcast to the spikes.
        """
        array = as_array("spikes", spikes)
        mask = None if inhibition_mask is None else as_array("inhibition_mask", inhibition_mask)
        if mask is not None:
            if mask.dtype != bool:
                raise TypeError(f"inhibition_mask must be boolean, got dtype {mask.dtype}.")
            require_fit("inhibition_mask", mask.shape, array.shape)
        flag = as_flag("async_spikes", async_spikes)
        self._set(spikes=array, inhibition_mask=mask, async_spikes=flag)

    @property
    def value(self) -> Num[Array, "..."] | Bool[Array, "..."]:
        """The signed spikes.

        Without a mask the spikes as they came; with one int8 for booleans, int32 for integers
        (float32 for uint32, which it may not hold), and the dtype of the spikes for floats.
        """
        if self.inhibition_mask is None:
            return self.spikes
        signed = self.spikes
        if signed.dtype == bool:
            signed = signed.astype(jnp.int8)
        elif jnp.issubdtype(signed.dtype, jnp.integer):
            signed = signed.astype(jnp.float32 if signed.dtype == jnp.uint32 else jnp.int32)
        mask = jnp.broadcast_to(self.inhibition_mask, signed.shape)
        return jnp.where(mask, -signed, signed)

    def __getitem__(self, index: Any) -> Self:
        """The spikes of one or several steps, or whatever the leading axis stands for.

        Args:
            index: An integer, a slice or an array, for the leading axis.

        Raises:
            IndexError: If there is no leading axis, no such step, or more than one index.
        """
        if isinstance(index, (tuple, bool)) or index is None or index is Ellipsis:
            raise IndexError(
                f"a SpikeArray is indexed along its leading axis, got {index!r}; "
                "index spikes.spikes for others."
            )
        if self.ndim == 0:
            raise IndexError("a SpikeArray of one neuron in one step has no axis to index.")
        mask, index = self.inhibition_mask, own(index)
        if isinstance(index, (int, np.integer)) and not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} steps.")
        if mask is not None and mask.ndim == self.ndim:
            # It has the leading axis too, which is then no time: neurons, or a batch.
            mask = jnp.broadcast_to(mask, self.shape)[index]
        return self._unflatten((self.async_spikes,), (self.spikes[index], mask))

    def axes(self, spikes: int | None = 0, inhibition_mask: int | None = None) -> Self:
        """The same payload with axis numbers for arrays, for `jax.vmap`.

        Args:
            spikes: Axis of the spikes to map over; None maps over none.
            inhibition_mask: Likewise for the mask.
        """
        mask = None if self.inhibition_mask is None else inhibition_mask
        return self._unflatten((self.async_spikes,), (spikes, mask))

    @classmethod
    def from_times(
        cls,
        times: ArrayLike,
        ids: ArrayLike,
        shape: int | Sequence[int],
        dt: float = 1.0,
        duration: float | None = None,
        inhibition_mask: ArrayLike | None = None,
        *,
        graded: bool = False,
        tolerance: float = 0.0,
        closed: Literal["right", "left"] = "right",
    ) -> Self:
        """Spikes over time, from spike times.

        A step covers `(t, t + dt]`, so that a spike at time `t` falls in step `ceil(t/dt) - 1`; a
        time that is a multiple of `dt` to the digits of its dtype counts as that multiple, also if
        `dt` was rounded to that dtype first.

        Args:
            times: Times of the spikes, in any order; in the unit of `dt`.
            ids: Which neuron each comes from, counted in row-major order.
            shape: Shape of the population; an integer stands for one axis.
            dt: Time step (ms by convention). As a NumPy or JAX number of float32 or float16 it
                stands for the shortest decimal, as every length of time: `np.float32(0.1)` is 0.1.
            duration: Where the recording ends; None ends it after the step of the last spike.
            inhibition_mask: As in the constructor.
            graded: Count the spikes of a neuron in a step, in float32. Otherwise spikes are
                booleans, which cannot count, and two in one step are refused.
            tolerance: A time this close to a multiple of `dt`, as a fraction of `dt`, counts as
                that multiple: 0.01, say, for times that a clock has added up.
            closed: Which end of a step belongs to it. `"left"` is for sampled data: steps are
                `[t, t + dt)`, so that a spike at 0 falls in step 0 and one at `dt` in step 1.

        Returns:
            Spikes of shape `(time,) + shape`.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If a time lies outside `(0, duration]` (`[0, duration)` if closed left), a
                neuron does not exist, two spikes of a neuron fall in one step, or the array is
                larger than the memory of this machine.

        Example:
            >>> from spark.nn.payloads import SpikeArray
            >>> spikes = SpikeArray.from_times([0.4, 1.0, 2.5], [0, 1, 0], shape=2)
            >>> spikes.spikes.astype(int)
            Array([[1, 1], [0, 0], [1, 0]], dtype=int32)
            >>> spikes.to_times()
            (array([1., 1., 3.]), array([0, 1, 0]))
        """
        spikes = raster(times, ids, shape, dt, duration, graded, tolerance, closed)
        return cls(spikes, inhibition_mask)

    def to_times(
        self, dt: float = 1.0, *, closed: Literal["right", "left"] = "right"
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Times and ids of the spikes; the counterpart of `from_times`.

        Args:
            dt: Time step (ms by convention).
            closed: As in `from_times`.

        Returns:
            Times, each the end of its step (its beginning if closed left), ascending; and the
            neurons they come from, counted in row-major order. A value of k stands for k spikes.

        Raises:
            TypeError: If the spikes are traced by a JAX transform.
            ValueError: If there is no time axis, or a value is no whole number >= 0.
        """
        if not is_concrete(self.spikes):
            raise TypeError("spikes must be concrete for to_times, got values traced by JAX.")
        return events(np.asarray(self.spikes), dt, closed)

    def __repr__(self) -> str:
        parts = [describe(self.spikes)]
        if is_concrete(self.spikes):
            count = int(np.count_nonzero(np.asarray(self.spikes)))
            parts.append(f"{count} spike" if count == 1 else f"{count} spikes")
        if self.inhibition_mask is not None:
            parts.append(f"inhibition_mask={describe(self.inhibition_mask)}")
        if self.async_spikes:
            parts.append("async_spikes=True")
        return f"SpikeArray({', '.join(parts)})"

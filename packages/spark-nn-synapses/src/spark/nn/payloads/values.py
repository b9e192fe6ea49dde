"""`FloatArray` and `CurrentArray`: one array of floats each."""

from __future__ import annotations

from typing import Any, Self, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from spark.core.internal import own

from .arrays import as_array, describe, is_concrete
from .payload import ArrayPayload

Axis: TypeAlias = int | tuple[int, ...] | None


class FloatArray(ArrayPayload):
    """An array of floats.

    `np.sum`, `np.mean`, `np.max` and `np.min` reduce it to another, also inside `jax.jit`. `==`
    compares element by element.

    Attributes:
        value: The array.

    Example:
        >>> import jax.numpy as jnp
        >>> from spark.nn.payloads import FloatArray
        >>> FloatArray(jnp.array([0.5, 1.0]))
        FloatArray([0.5 1. ], dtype=float32)
    """

    arrays = ("value",)

    value: Float[Array, "..."]

    def __init__(self, value: ArrayLike) -> None:
        """Check and keep.

        Args:
            value: An array of floats.

        Raises:
            TypeError: If it is anything else.
        """
        array = as_array("value", value)
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise TypeError(f"value must be floating, got dtype {array.dtype}.")
        self._set(value=array)

    def __getitem__(self, index: Any) -> Self:
        """A part of the array, indexed as the array is."""
        return self._of(self.value[own(index)])

    def sum(self, axis: Axis = None, **options: Any) -> Self:
        """The sum over axes.

        Args:
            axis: Which; None sums over all.
            **options: As in `jax.numpy.sum`: `dtype`, `keepdims`. NumPy's function passes them.
        """
        return self._of(self.value.sum(axis, **options))

    def mean(self, axis: Axis = None, **options: Any) -> Self:
        """The mean over axes, likewise."""
        return self._of(self.value.mean(axis, **options))

    def max(self, axis: Axis = None, **options: Any) -> Self:
        """The largest value over axes, likewise."""
        return self._of(self.value.max(axis, **options))

    def min(self, axis: Axis = None, **options: Any) -> Self:
        """The smallest value over axes, likewise."""
        return self._of(self.value.min(axis, **options))

    def __repr__(self) -> str:
        name = type(self).__name__
        if not is_concrete(self.value):
            return f"{name}({describe(self.value)})"
        text = np.array2string(np.asarray(self.value), prefix=f"{name}(", threshold=100)
        return f"{name}({text}, dtype={self.value.dtype})"

    @classmethod
    def _of(cls, value: Any) -> Self:
        return cls._unflatten((), (value,))


class CurrentArray(FloatArray):
    """Currents, in the unit of the kernel that they come from (pA by convention).

    Currents add to currents, arrays and numbers, and scale by arrays and numbers. They are not
    spikes: adding a `SpikeArray` is refused. `np.asarray(currents)` works; give functions of
    `jax.numpy` `currents.value`.

    Attributes:
        value: The array.

    Example:
        >>> import jax.numpy as jnp
        >>> from spark.nn.payloads import CurrentArray
        >>> excitation, inhibition = CurrentArray([20.0, 5.0]), CurrentArray([8.0, 1.0])
        >>> 2 * (excitation - inhibition)
        CurrentArray([24.  8.], dtype=float32)
        >>> (excitation + inhibition).sum()
        CurrentArray(34., dtype=float32)
    """

    # NumPy leaves `array + currents` to the currents.
    __array_priority__ = 100

    def __add__(self, other: Any) -> Self:
        added = _operand(other, currents=True)
        return NotImplemented if added is None else self._of(self.value + added)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Self:
        taken = _operand(other, currents=True)
        return NotImplemented if taken is None else self._of(self.value - taken)

    def __rsub__(self, other: Any) -> Self:
        return (-self).__add__(other)

    def __mul__(self, other: Any) -> Self:
        factor = _operand(other)
        return NotImplemented if factor is None else self._of(self.value * factor)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Self:
        divisor = _operand(other)
        return NotImplemented if divisor is None else self._of(self.value / divisor)

    def __neg__(self) -> Self:
        return self._of(-self.value)


def _operand(other: Any, currents: bool = False) -> Any:
    """The operand to combine with currents; None if it is not one."""
    if currents and isinstance(other, CurrentArray):
        return other.value
    if isinstance(other, np.generic):
        # A scalar of NumPy, as a number of Python, does not change the dtype.
        return other.item()
    if isinstance(other, (int, float, np.ndarray, jax.Array)):
        return own(other)
    return None

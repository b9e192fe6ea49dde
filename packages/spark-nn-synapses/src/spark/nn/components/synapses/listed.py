"""`SparseConnectivity`: connections given one by one."""

from __future__ import annotations

import functools
import inspect
import os
from typing import Any, Literal, NamedTuple, Self

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from pydantic import model_validator

from spark.core.internal import as_storage_dtype
from spark.nn.configs.fields import Indices, Numbers

from ._by_device import laid_out_by_device
from ._connect import (
    Connections,
    Laid,
    NumPyArray,
    laid_out,
    require_countable,
    stored_rows,
)
from ._drawing import engine_for
from ._drawing.assemble import Plain, filled
from ._drawing.lines import Window
from ._kernel import as_kernel
from .connectivity import Connectivity
from .delays import as_steps
from .partition import Partition

_CHUNK = 1 << 18
"""Connections that are read at once, so that lists can stay on disk."""


class SparseConnectivity(Connectivity):
    """Connections given one by one, and kept input by input (CSR of inputs x targets).

    Several connections between the same two add up. The kernel holds a weight for each, in the
    order of inputs, then of delays if connections have any, then of targets.

    The configuration keeps the lists, in the order given: copies, unless nobody can write to them.
    Those in a file that is mapped for reading, as by `np.load(path, mmap_mode="r")`, stay on disk
    if indices are int32, and weights and delays floating.

    Attributes:
        pre: Input of each connection, counted in row-major order; of shape `(connections,)`, like
            the next three.
        post: Target of each connection, likewise.
        weights: Weight of each connection, in pA by convention; None leaves them to
            `kernel_initializer`.
        delays: Delay of each connection, in the unit of the time step and a whole multiple of it;
            None if there is none.
        shape: Number of targets and of inputs that they are for; None fits all that have them.

    Example:
        >>> import numpy as np
        >>> from spark.nn.components.synapses import LinearSynapses, SparseConnectivity
        >>> connectivity = SparseConnectivity(pre=[2, 0, 2], post=[0, 1, 1], weights=[3, 1, 4])
        >>> synapses = LinearSynapses(units=2, connectivity=connectivity, dtype="float32")
        >>> synapses(np.array([False, False, True]))
        CurrentArray([3. 4.], dtype=float32)
        >>> synapses.kernel
        FloatArray([1. 3. 4.], dtype=float32)
    """

    kind: Literal["sparse"] = "sparse"
    pre: Indices
    post: Indices
    weights: Numbers | None = None
    delays: Numbers | None = None
    shape: tuple[int, int] | None = None

    @model_validator(mode="after")
    def _match(self) -> Self:
        for name in ("post", "weights", "delays"):
            other = getattr(self, name)
            if other is not None and other.shape != self.pre.shape:
                raise ValueError(
                    f"{name} must have one entry per connection, as pre of shape "
                    f"{self.pre.shape}; got shape {other.shape}"
                )
        return self

    @classmethod
    def from_scipy(cls, matrix: Any) -> Self:
        """The connections that are stored in a matrix (targets, inputs), with their weights.

        Args:
            matrix: A sparse array or matrix of SciPy in any format; or what its `coo_array` takes,
                such as a dense array, which has a connection where it is not 0.

        Raises:
            ConfigError: If it holds no finite numbers.
            TypeError: If it is no matrix.
            ValueError: If it has not two axes.
        """
        from scipy.sparse import coo_array, issparse

        if not issparse(matrix):
            matrix = np.asarray(matrix)
            if matrix.dtype.kind not in "biuf":
                raise TypeError(f"matrix must be one of real numbers, got dtype {matrix.dtype}.")
        if matrix.ndim != 2:
            raise ValueError(f"matrix must have two axes, targets x inputs, got {matrix.ndim}.")
        given = coo_array(matrix)
        shape = (int(given.shape[0]), int(given.shape[1]))
        return cls(pre=given.col, post=given.row, weights=given.data, shape=shape)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """The connections of a matrix (targets, inputs) in a file.

        Args:
            path: Where to read: `.npz` as `scipy.sparse.save_npz` writes it, or a Matrix Market
                file, `.mtx`, whose name may end in `.gz`.

        Raises:
            OSError: If the file cannot be read.
            ValueError: If it holds no such matrix.
        """
        from scipy.io import mmread
        from scipy.sparse import load_npz

        name = os.fspath(path)
        if name.endswith(".npz"):
            return cls.from_scipy(load_npz(name))
        # SciPy asks to choose, since it knows both.
        knows = "spmatrix" in inspect.signature(mmread).parameters
        return cls.from_scipy(mmread(name, spmatrix=False) if knows else mmread(name))

    def connect(self, inputs: int, targets: int, key: Array) -> Connections:
        """Lay out the connections; see `Connectivity`."""
        self._require_fit(inputs, targets)
        order = np.lexsort((self.post, self.pre))
        found = Connections(*stored_rows(self.pre[order], self.post[order], inputs, targets))
        given: Any = {"weights": self.weights, "delays": self.delays}
        return found._replace(**{n: each[order] for n, each in given.items() if each is not None})

    def lay_out(self, inputs: int, targets: int, key: Array, dt: float, dtype: str) -> Connections:
        """Lay out the connections; see `Connectivity`."""
        self._require_fit(inputs, targets)
        steps, weights, storage = self.delays, self.weights, as_storage_dtype(dtype)
        if steps is not None:
            steps = as_steps("delays of the connectivity", steps, dt)
        if weights is not None:
            name, shape = "weights of the connectivity", self.pre.shape
            weights = np.asarray(as_kernel(name, weights, shape, storage))
        return laid_out(self.pre, self.post, inputs, targets, steps, weights).connections(targets)

    def lay_out_by_device(
        self, inputs: int, targets: int, key: Array, dt: float, dtype: str, partition: Partition
    ) -> Connections | None:
        """Lay out the connections of the devices of this process alone, if they have weights.

        Args:
            inputs: As in `lay_out`; likewise the next four.
            targets: See there.
            key: See there.
            dt: See there.
            dtype: See there.
            partition: Which device has what.

        Returns:
            The connections; None where they have to be laid out as a whole.

        Raises:
            ValueError: If an input or a target is not among these.
        """
        self._require_fit(inputs, targets)
        if self.weights is None:
            return None  # an initializer draws those of all
        storage = as_storage_dtype(dtype)
        lists = _Lists(self.pre, self.post, self.weights, self.delays, targets, dt, storage)
        try:
            return laid_out_by_device(lists, inputs, targets, partition)
        except ValueError:
            return None  # whoever lays out all of them finds which cannot be kept

    def _require_fit(self, inputs: int, targets: int) -> None:
        if self.shape not in (None, (targets, inputs)):
            raise ValueError(
                f"shape of a SparseConnectivity must be {(targets, inputs)}, the numbers of "
                f"targets and inputs; got {self.shape}."
            )
        for name, index, size in (("pre", self.pre, inputs), ("post", self.post, targets)):
            if index.size and index.max() >= size:
                raise ValueError(
                    f"{name} of a SparseConnectivity must be below {size}, the number of "
                    f"{'inputs' if name == 'pre' else 'targets'}; got {index.max()} at index "
                    f"{index.argmax()}."
                )


class _Lists(NamedTuple):
    """Lists, as `Plan` has what is drawn.

    Attributes:
        pre: Input of each connection.
        post: Target of each connection.
        weights: Weight of each connection.
        delays: Delay of each connection; None if all arrive at once.
        targets: Number of targets.
        dt: Time step.
        dtype: Dtype of the weights, as they are stored.
    """

    pre: NumPyArray
    post: NumPyArray
    weights: NumPyArray
    delays: NumPyArray | None
    targets: int
    dt: float
    dtype: jnp.dtype

    @property
    def drawn(self) -> bool:
        """Whether weights are random."""
        return False

    def begin(self, *windows: Window) -> list[Any]:
        """Count the connections between some inputs and some targets.

        Raises:
            ValueError: If a weight or a delay, of any connection, cannot be kept; its index in the
                message is that within a part of the lists.
        """
        latest = 0
        for first in range(0, len(self.pre), _CHUNK):
            some = slice(first, first + _CHUNK)
            self._weights(some)
            if (steps := self._steps(some)) is not None:
                latest = max(latest, int(steps.max()))
        require_countable(len(self.pre), (latest + 1) * self.targets)
        engine = engine_for(len(self.pre))
        found = []
        for window in windows:
            inputs, targets = window[1] - window[0], window[3] - window[2]
            read = functools.partial(self._read, window)
            if engine is not None:
                found.append(engine.count_lists(read, len(self.pre), inputs))
                continue
            pre, places, weights = read(slice(None), False)
            found.append(Plain(laid_out(pre, places, inputs, targets, None, weights)))
        return found

    def draw(self, begun: Any, room: int) -> Laid:
        """Lay out connections that were counted, in arrays of so many; nothing is set beyond."""
        return filled(begun, self.dtype, room)

    def _read(self, window: Window, some: slice, counted: bool) -> tuple[Any, Any, Any]:
        """Those connections of a part that lie within a window; see `engine.Read`."""
        i, j, k, m = window
        pre, post = self.pre[some], self.post[some]
        own = (i <= pre) & (pre < j) & (k <= post) & (post < m)
        inputs = pre[own].astype(np.int64) - i
        if counted:
            return inputs, None, None
        places = post[own].astype(np.int64) - k
        if (steps := self._steps(some)) is not None:
            places += steps[own].astype(np.int64) * (m - k)
        return inputs, places, self._weights(some)[own]

    def _steps(self, some: slice) -> NumPyArray | None:
        return None if self.delays is None else as_steps("delays", self.delays[some], self.dt)

    def _weights(self, some: slice) -> NumPyArray:
        given = self.weights[some]
        return np.asarray(as_kernel("weights", given, given.shape, self.dtype))

"""What a user says of who reaches whom, and the rows that follow from it."""

from __future__ import annotations

import abc
import inspect
import os
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from pydantic import PlainValidator, model_validator

from spark.core.internal import as_storage_dtype
from spark.nn.configs import Config
from spark.nn.configs.errors import show
from spark.nn.configs.fields import Count, Indices, Numbers
from spark.nn.initializers import Distribution
from spark.nn.initializers.distributions import Distributed

from ._connect import Connections, laid_out, stored_rows
from ._drawing.steps import step_limits
from ._kernel import as_kernel
from ._projections.rows import LAWS, DrawnRows, Law
from .delays import as_steps, require_delays


class Connectivity(Config, abc.ABC):
    """Base class of the values of `connectivity`, other than `"dense"`."""

    lay_out_by_device: ClassVar[Any] = None
    """As `lay_out`, for some devices alone; None where all connections are laid out together."""

    @property
    def delayed(self) -> bool:
        """Whether connections have delays of their own."""
        return getattr(self, "delays", None) is not None

    @abc.abstractmethod
    def connect(self, inputs: int, targets: int, key: Array) -> Connections:
        """Lay out the connections between given numbers of inputs and targets.

        Args:
            inputs: Number of inputs.
            targets: Number of targets.
            key: JAX PRNG key, concrete, of what is drawn.

        Raises:
            ValueError: If they cannot be.
        """

    def lay_out(self, inputs: int, targets: int, key: Array, dt: float, dtype: str) -> Connections:
        """Lay out the connections for synapses: by default as `connect` does.

        Args:
            inputs: As in `connect`.
            targets: As in `connect`.
            key: As in `connect`.
            dt: Time step.
            dtype: Name of the dtype of the weights.

        Returns:
            The connections; their delays may be in the rows already.

        Raises:
            ValueError: As in `connect`.
        """
        return self.connect(inputs, targets, key)


class SparseConnectivity(Connectivity):
    """Connections given one by one, and kept input by input (CSR of inputs x targets).

    Several connections between the same two add up. The kernel holds a weight for each, in the
    order of inputs, then of delays if connections have any, then of targets.

    The lists stay as they are given. Those in a file that is mapped for reading, as by
    `np.load(path, mmap_mode="r")`, stay on disk, if indices are int32.

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
                    f"{'inputs' if name == 'pre' else 'targets'}; got {index.max()}."
                )


class ProceduralConnectivity(Connectivity):
    """A fixed number of targets for each input, drawn again at each step and never stored.

    Targets are drawn with replacement: an input may reach one twice. The kernel holds the
    parameters of the law that weights are distributed by, which can be trained.

    Attributes:
        fan_out: Connections of an input.
        law: `"constant"`, of which the kernel is one value; `"uniform"`, of which it is low and
            high; or `"normal"`, of which it is mean and standard deviation. Without an initializer,
            1; 0 and 1; 0 and 1.
        delays: Delay of each connection, in the unit of the time step: a number, which is a whole
            multiple of it, or a distribution of numbers >= 0, drawn with the target and rounded to
            the nearest step, and half a step upwards. None is no delay.

    References:
        Knight and Nowotny (2021), Nature Computational Science 1:136-142.

    Example:
        >>> import jax.numpy as jnp
        >>> from spark.nn.components.synapses import LinearSynapses, ProceduralConnectivity
        >>> connectivity = ProceduralConnectivity(fan_out=1000, law="constant")
        >>> synapses = LinearSynapses(units=100_000, connectivity=connectivity, dtype="float32")
        >>> currents = synapses(jnp.zeros(100_000, bool).at[42].set(True))  # of 10^8 synapses
        >>> float(currents.value.sum())
        1000.0
    """

    kind: Literal["procedural"] = "procedural"
    fan_out: Count
    law: Law = "uniform"
    delays: Distributed | None = None

    @model_validator(mode="after")
    def _require_delays(self) -> Self:
        require_delays(self.delays)
        return self

    def connect(self, inputs: int, targets: int, key: Array) -> Connections:
        """Lay out the connections, with a time step of 1; see `Connectivity`."""
        return self.lay_out(inputs, targets, key, 1.0, "float32")

    def lay_out(self, inputs: int, targets: int, key: Array, dt: float, dtype: str) -> Connections:
        """Lay out the connections; see `Connectivity`."""
        first, limits = 0, np.empty(0, np.uint32)
        if isinstance(self.delays, Distribution):
            first, limits = step_limits("delays of the connectivity", self.delays, dt)
        elif self.delays is not None:
            first = int(as_steps("delays of the connectivity", self.delays, dt))
        steps = first + len(limits) + 1
        if steps * targets >= 2**31:
            raise ValueError(
                f"steps of the longest delay times targets must be below 2^31, got {steps} x "
                f"{targets}."
            )
        size = 1 if self.law == "constant" else 2
        words = jax.random.key_data(key).reshape(-1)[-2:].astype(jnp.uint32)
        rows = DrawnRows(inputs, targets, size, self.fan_out, self.law, steps=steps)
        start = np.ones(1) if self.law == "constant" else np.array([0.0, 1.0])
        sizes = np.array([self.fan_out, LAWS.index(self.law)], np.int32)
        if steps > 1:
            sizes = np.concatenate(
                [sizes, np.array([steps, first], np.int32), limits.view(np.int32)]
            )
        return Connections(rows, (words, jnp.asarray(sizes)), start)


def as_connectivity(value: Any) -> Connectivity | Literal["dense"]:
    """`"dense"`, a `Connectivity`, or one as a dictionary that was read from a file."""
    if isinstance(value, Connectivity):
        return value
    if isinstance(value, str) and value == "dense":
        return "dense"
    known: dict[str, type[Connectivity]] = {}
    for each in _kinds(Connectivity):  # a class before those that are derived from it
        known.setdefault(each.model_fields["kind"].default, each)
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if isinstance(kind, str) and kind in known:
        return known[kind](**value)
    names = ", ".join(each.__name__ for each in known.values())
    raise ValueError(f"must be 'dense' or one of {names}; got {show(value)}.")


def _kinds(base: Any) -> list[Any]:
    """The classes of connectivity that are not abstract."""
    every = [each for kind in base.__subclasses__() for each in _kinds(kind)]
    return every if inspect.isabstract(base) else [base, *every]


Connected = Annotated[Connectivity | Literal["dense"], PlainValidator(as_connectivity)]
"""A field for either."""

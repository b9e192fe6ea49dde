"""What a user says of who reaches whom, and the rows that follow from it."""

from __future__ import annotations

import abc
import inspect
import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from pydantic import PlainValidator, model_validator

from spark.nn.configs import Config
from spark.nn.configs.errors import show
from spark.nn.configs.fields import Count, Indices, Numbers, Probability

from ._connect import Connections, stored_rows
from ._projections.rows import LAWS, DrawnRows, Law


class Connectivity(Config, abc.ABC):
    """Base of what `connectivity` of synapses can be, other than `"dense"`."""

    @abc.abstractmethod
    def connect(self, inputs: int, targets: int, key: Array) -> Connections:
        """Lay out the connections between so many inputs and targets.

        Args:
            inputs: Number of inputs.
            targets: Number of targets.
            key: JAX PRNG key, concrete, of what is drawn.

        Raises:
            ValueError: If they cannot be.
        """


class SparseConnectivity(Connectivity):
    """Connections given one by one, and kept input by input (CSR of inputs x targets).

    Several connections between the same two add up. The kernel holds a weight for each, in the
    order of inputs, then of delays if connections have any, then of targets.

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
                    f"{name} must have one entry per connection, as pre of shape {self.pre.shape}; "
                    f"got shape {other.shape}"
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
        targets, inputs = given.shape
        shape = (int(targets), int(inputs))
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
        order = np.lexsort((self.post, self.pre))
        rows, adjacency = stored_rows(self.pre[order], self.post[order], inputs, targets)
        weights, delays = (
            None if each is None else each[order] for each in (self.weights, self.delays)
        )
        return Connections(rows, adjacency, weights, delays)


class RandomConnectivity(Connectivity):
    """Each input reaches each target with a probability, independently; stored.

    Attributes:
        probability: Of a connection, in (0, 1].

    Example:
        >>> from spark.nn.components.synapses import LinearSynapses, RandomConnectivity, InputSpec
        >>> synapses = LinearSynapses(units=100, connectivity=RandomConnectivity(probability=0.1))
        >>> synapses.build({"spikes": InputSpec((100,))})
        >>> 900 < len(synapses.kernel) < 1100
        True
    """

    kind: Literal["random"] = "random"
    probability: Probability

    def connect(self, inputs: int, targets: int, key: Array) -> Connections:
        """Lay out the connections; see `Connectivity`."""
        draw, total = _generator(key), inputs * targets
        found: list[np.ndarray[Any, Any]] = []
        last = -1
        while last < total - 1:
            # From one connection to the next, as the gaps of Bernoulli trials are distributed.
            some = max(1024, int((total - last) * self.probability * 1.01))
            gaps = np.minimum(draw.geometric(self.probability, some), total + 1)
            found.append(last + np.cumsum(gaps))
            last = int(found[-1][-1])
        places = np.concatenate([*found, np.empty(0, np.int64)])
        places = places[places < total]
        rows, adjacency = stored_rows(places // targets, places % targets, inputs, targets)
        return Connections(rows, adjacency)


class FixedFanOut(Connectivity):
    """Each input reaches so many targets, all different, at random; stored.

    Attributes:
        fan_out: Targets of an input.

    Example:
        >>> from spark.nn.components.synapses import FixedFanOut, LinearSynapses, InputSpec
        >>> synapses = LinearSynapses(units=100, connectivity=FixedFanOut(fan_out=10))
        >>> synapses.build({"spikes": InputSpec((50,))})
        >>> synapses.kernel.shape
        (500,)
    """

    kind: Literal["fan_out"] = "fan_out"
    fan_out: Count

    def connect(self, inputs: int, targets: int, key: Array) -> Connections:
        """Lay out the connections; see `Connectivity`."""
        if self.fan_out > targets:
            raise ValueError(
                f"fan_out must be at most {targets}, the number of targets; got {self.fan_out}."
            )
        draw = _generator(key)
        # Of more than half of the targets, those that are left out are fewer.
        size = min(self.fan_out, targets - self.fan_out)
        some: Any = np.sort(draw.integers(targets, size=(inputs, size), dtype=np.int32))
        while (twice := some[:, 1:] == some[:, :-1]).any():
            # What came twice is drawn again, until all of a row differ.
            where = np.nonzero(twice)
            some[where[0], where[1] + 1] = draw.integers(targets, size=len(where[0]))
            some = np.sort(some)
        if size < self.fan_out:
            kept = np.ones((inputs, targets), bool)
            np.put_along_axis(kept, some, False, axis=1)
            some = np.nonzero(kept)[1].reshape(inputs, self.fan_out)
        pre = np.repeat(np.arange(inputs), self.fan_out)
        return Connections(*stored_rows(pre, some.reshape(-1), inputs, targets))


class ProceduralConnectivity(Connectivity):
    """Each input reaches so many targets at random; drawn anew at each step, and never stored.

    Targets are drawn with replacement: an input may reach one twice. The kernel holds the
    parameters of the law that weights are distributed by, which can be trained.

    Attributes:
        fan_out: Connections of an input.
        law: `"constant"`, of which the kernel is one value; `"uniform"`, of which it is low and
            high; or `"normal"`, of which it is mean and standard deviation. Without an initializer,
            1; 0 and 1; 0 and 1.

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

    def connect(self, inputs: int, targets: int, key: Array) -> Connections:
        """Lay out the connections; see `Connectivity`."""
        size = 1 if self.law == "constant" else 2
        words = jax.random.key_data(key).reshape(-1)[-2:].astype(jnp.uint32)
        rows = DrawnRows(inputs, targets, size, self.fan_out, self.law)
        start = np.ones(1) if self.law == "constant" else np.array([0.0, 1.0])
        sizes = jnp.asarray([self.fan_out, LAWS.index(self.law)], jnp.int32)
        return Connections(rows, (words, sizes), start)


def as_connectivity(value: Any) -> Connectivity | Literal["dense"]:
    """`"dense"`, a `Connectivity`, or one as a dictionary that was read from a file."""
    if isinstance(value, Connectivity):
        return value
    if isinstance(value, str) and value == "dense":
        return "dense"
    known = {each.model_fields["kind"].default: each for each in Connectivity.__subclasses__()}
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if isinstance(kind, str) and kind in known:
        return known[kind](**value)
    names = ", ".join(each.__name__ for each in known.values())
    raise ValueError(f"must be 'dense' or one of {names}; got {show(value)}.")


Connected = Annotated[Connectivity | Literal["dense"], PlainValidator(as_connectivity)]
"""A field for either."""


def _generator(key: Array) -> np.random.Generator:
    """Draws on the host: how many connections there are must be known before they are kept."""
    if isinstance(key, jax.core.Tracer):
        raise ValueError(
            "random connectivity is drawn outside of JAX transforms: build the synapses before, or "
            "use ProceduralConnectivity."
        )
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).reshape(-1).tolist())

"""Parameters and traces of a recurrence as Flax variables, checked whenever they are assigned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from ._arguments import as_names, real_array
from ._assignment import CheckedModule
from ._parameters import Checked, as_parameter_of
from ._recurrence import Recurrence
from ._rounding import Rounding


class TraceState(nnx.Variable[Array]):
    """A trace: the state of a tracer between steps."""


class Constant(nnx.Variable[Array]):
    """A parameter of a tracer that is not trained; a trained one is an `nnx.Param`."""


class RecurrenceModule(CheckedModule):
    """A module that runs a recurrence; `BaseTracer` adds the verbs.

    Attributes:
        shape: Shape of the traces.
        dtype: Dtype of the stored traces.
        rounding: How a half-precision trace is rounded.
        trainable: Names of the parameters that are `nnx.Param`.
        recurrence: The pure recurrence; static.
    """

    shape: tuple[int, ...]
    dtype: jnp.dtype
    rounding: Rounding
    trainable: Sequence[str]
    recurrence: Recurrence[Any]

    _fixed: ClassVar[tuple[str, ...]] = (
        "shape",
        "seed",
        "dtype",
        "dt",
        "rounding",
        "trainable",
        "recurrence",
    )
    """Arguments and attributes that cannot be assigned once the tracer is made."""

    def define_parameters(
        self, recurrence: Recurrence[Any], given: Any
    ) -> tuple[nnx.Variable[Array], ...]:
        """Keep a recurrence, and make variables of its parameters, once they are checked.

        The constructor of a kind of tracer assigns them, each under its own name, and then the
        traces that `define_traces` makes.

        Args:
            recurrence: The recurrence that the tracer runs.
            given: The parameters as they came, a named tuple of the recurrence's kind.

        Returns:
            A variable for each parameter, in their order; an `nnx.Param` if it is trainable.
        """
        self.trainable = as_names("trainable", self.trainable, given._fields)
        self.recurrence = recurrence
        return tuple(
            (nnx.Param if name in self.trainable else Constant)(
                jnp.asarray(self._checked(name, value).kept)
            )
            for name, value in given._asdict().items()
        )

    def define_traces(self) -> tuple[TraceState, ...]:
        """A variable for each trace of the recurrence, in their order, at rest."""
        state = self.recurrence.init(self.parameters, self.shape, self.dtype)
        return tuple(TraceState(trace) for trace in state.traces)

    @property
    def parameters(self) -> Any:
        """The parameters as a named tuple of arrays, for the methods of `recurrence`."""
        kind = self.recurrence.parameters
        return kind(*[read(getattr(self, name)) for name in kind._fields])

    def _checked(self, name: str, value: Any, shape: tuple[int, ...] | None = None) -> Checked:
        """A parameter or trace after the checks of the constructor.

        Args:
            name: Name of the variable.
            value: The new value.
            shape: Shape that the value must broadcast to; None stands for that of the traces.
        """
        shape = self.shape if shape is None else shape
        return as_parameter_of(self.recurrence, name, value, shape, self.dtype, self.rounding)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if isinstance(value, nnx.Variable) and name in self._parameter_names():
            trained = isinstance(value, nnx.Param)
            if trained != (name in self.trainable):
                others = (each for each in self.trainable if each != name)
                self._replace(trainable=(*others, name) if trained else tuple(others))

    def _parameter_names(self) -> tuple[str, ...]:
        """Names of the parameters; none before there is a recurrence."""
        recurrence = vars(self).get("recurrence")
        return recurrence.parameters._fields if recurrence is not None else ()

    def _require_assignable(self, name: str, value: Any) -> None:
        if not self._parameter_names():
            return
        if name in self._fixed:
            raise AttributeError(
                f"{name} of a {type(self).__name__} is fixed when it is made: make a new one."
            )
        if name == "rng" and not isinstance(value, nnx.RngStream):
            raise TypeError(
                f"rng must be an nnx.RngStream, got {value!r}; a new tracer takes a seed."
            )

    def _checked_value(self, name: str, value: Any) -> Array | None:
        if name not in (*self._parameter_names(), *self.recurrence.traces):
            return None
        # Under nnx.vmap a variable has axes that the tracer does not know of.
        present = getattr(self, name).get_value().shape
        is_trace = name in self.recurrence.traces
        same = is_trace or real_array(name, value).shape == present
        kept = jnp.asarray(self._checked(name, value, present if same else None).kept)
        return jnp.broadcast_to(kept, present).astype(self.dtype) if is_trace else kept


def read(variable: nnx.Variable[Array]) -> Array:
    """The array in a variable; a plain one without the tree traversal of `get_value`."""
    value = variable.get_raw_value()
    return value if isinstance(value, jax.Array) else variable.get_value()

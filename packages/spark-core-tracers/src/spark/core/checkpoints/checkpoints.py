"""Saving and resuming a run, by Orbax, with a description of what was saved beside it."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

_OPTIONS = ("shape", "dt", "dtype", "rounding", "integrator", "units", "async_spikes", "batch")
"""Attributes of a module or its configuration that two runs must share."""

_HOW = ("way", "partition")
"""Fields of what a module runs that say how and where it is run, and may differ."""


class CheckpointError(ValueError):
    """A checkpoint that is not there, or not one of the module that is to take it.

    Attributes:
        differences: What differs, one sentence each.
    """

    def __init__(self, message: str, differences: list[str] | None = None) -> None:
        self.differences = differences or []
        super().__init__("\n- ".join([message, *self.differences]))


def save(directory: str | Path, step: int, module: nnx.Module, *, keep: int = 1) -> None:
    """Save all arrays of a module: parameters, traces, the count of steps, random keys.

    A checkpoint is complete or not there: a process that dies in between leaves the ones before as
    they were. In a run of several processes all of them call this.

    Args:
        directory: Folder of the checkpoints of a run; made if need be.
        step: Number of this one, 0 or more; more than those of the ones before.
        module: A module, or one that holds several, an `nnx.Optimizer` too.
        keep: How many of the latest checkpoints stay, 1 or more.

    Raises:
        TypeError: If `step` or `keep` is no integer.
        ValueError: If one is too small, or a boolean.
        CheckpointError: If there is a checkpoint of this or a later step, the module has no arrays,
            or the directory is no folder.

    Example:
        >>> import tempfile
        >>> from spark.core import checkpoints
        >>> from spark.core.tracers import Tracer
        >>> tracer, other = Tracer(2, tau=5.0), Tracer(2, tau=5.0)
        >>> y = tracer([1.0, 2.0])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     checkpoints.save(folder, 1, tracer)
        ...     checkpoints.restore(folder, other)
        1
        >>> other.value
        Array([1., 2.], dtype=float16)
    """
    import orbax.checkpoint as ocp

    step, keep = _whole("step", step, 0), _whole("keep", keep, 1)
    if Path(directory).exists() and not Path(directory).is_dir():
        raise CheckpointError(f"{directory} is no folder.")
    arrays = _arrays(module)
    if not jax.tree.leaves(arrays):
        raise CheckpointError(f"{type(module).__name__} has nothing to save: build it first.")
    with _manager(directory, keep) as manager:
        latest = manager.latest_step()
        if latest is not None and latest >= step:
            raise CheckpointError(f"step must be more than {latest}, the latest saved, got {step}.")
        manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(arrays),
                about=ocp.args.JsonSave(describe(module)),
            ),
        )
        manager.wait_until_finished()


def restore(directory: str | Path, module: nnx.Module, step: int | None = None) -> int:
    """Give a module the arrays that were saved, each to where the module has it.

    A run that goes on from there has the numbers of one that was never cut, bit for bit on the same
    devices. On other devices it has so where no sum crosses them.

    Args:
        directory: Folder of the checkpoints.
        module: A module like the one that was saved, built if it has to be; on the devices that it
            is to run on.
        step: Which checkpoint; None takes the latest.

    Returns:
        The number of the checkpoint.

    Raises:
        CheckpointError: If there is no such checkpoint, or it is one of another class, shape, time
            step, dtype, bound or law of connections; the message says what differs. The module then
            stays as it was.
    """
    import orbax.checkpoint as ocp

    if not Path(directory).is_dir():
        raise CheckpointError(f"there is no folder {directory}.")
    with _manager(directory, keep=None) as manager:
        steps = sorted(manager.all_steps())
        if not steps:
            raise CheckpointError(f"there is no complete checkpoint in {directory}.")
        step = steps[-1] if step is None else step
        if step not in steps:
            raise CheckpointError(f"there is no checkpoint of step {step}, only of {steps}.")
        if not (Path(directory) / str(step) / "about").is_dir():
            raise CheckpointError(
                f"the checkpoint of step {step} is none of spark.core.checkpoints."
            )
        about = manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore()))
        different = _differences(describe(module), about["about"])
        if different:
            what = f"the checkpoint of step {step} is of another run, or the module is not built:"
            raise CheckpointError(what, different)
        here = _arrays(module)
        wanted = ocp.args.Composite(state=ocp.args.StandardRestore(jax.tree.map(_place, here)))
        found = manager.restore(step, args=wanted)["state"]
    state = nnx.state(module)
    nnx.replace_by_pure_dict(state, jax.tree.map(_like, nnx.to_pure_dict(state), found))
    nnx.update(module, state)
    return step


def describe(module: nnx.Module) -> dict[str, str]:
    """What makes a module one that a checkpoint fits: classes, options, shapes and dtypes."""
    about: dict[str, str] = {}
    for path, node in nnx.iter_graph(module):
        name = ".".join(map(str, path))
        if isinstance(node, nnx.Variable):
            value = node.get_raw_value()
            if isinstance(value, (jax.Array, np.ndarray)):
                about[name or "value"] = f"{value.dtype}{list(value.shape)}"
        elif isinstance(node, nnx.Module):
            about[f"{name}.class".strip(".")] = type(node).__qualname__
            about |= {f"{name}.{key}".strip("."): text for key, text in _options(node).items()}
    return about


def _options(module: nnx.Module) -> dict[str, str]:
    """What is static of a module and shapes its numbers."""
    drive = getattr(getattr(module, "pathway", None), "drive", None)
    about = _fields(drive) | _fields(getattr(module, "recurrence", None))
    for source in (module, getattr(module, "config", None)):
        for option in _OPTIONS:
            value = getattr(source, option, None)
            if value is not None and not isinstance(value, nnx.Variable):
                about[option] = _text(value)
    return about


def _fields(static: Any, prefix: str = "") -> dict[str, str]:
    """The fields of a dataclass and of those in it; nothing of another value."""
    about: dict[str, str] = {}
    for field in dataclasses.fields(static) if dataclasses.is_dataclass(static) else ():
        name, value = f"{prefix}{field.name}", getattr(static, field.name)
        if value is None or field.name in _HOW:
            continue
        if dataclasses.is_dataclass(value):
            about[name] = type(value).__qualname__
            about |= _fields(value, f"{name}.")
        else:
            about[name] = _text(value)
    return about


def _text(value: Any) -> str:
    return str(jnp.dtype(value)) if hasattr(value, "itemsize") else str(value)


def _differences(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """Where two descriptions differ."""
    found = []
    for name in dict.fromkeys([*here, *there]):
        one, other = here.get(name), there.get(name)
        if one != other:
            found.append(f"{name} is {one or 'not there'} here, {other or 'not there'} there")
    return found


def _whole(name: str, value: Any, least: int) -> int:
    """An integer from `least` on."""
    try:
        whole = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}.") from None
    if isinstance(value, bool) or whole < least:
        raise ValueError(f"{name} must be an integer, {least} or more, got {value!r}.")
    return whole


def _arrays(module: nnx.Module) -> Any:
    """All arrays of a module by name, and numbers; of a random key its numbers."""

    def plain(value: Any) -> Any:
        return jax.random.key_data(value) if _is_key(value) else value

    return jax.tree.map(plain, nnx.to_pure_dict(nnx.state(module)))


def _like(here: Any, found: Any) -> Any:
    """What was found, as a key where there is one."""
    if not _is_key(here):
        return found
    return jax.random.wrap_key_data(found, impl=jax.random.key_impl(here))


def _is_key(value: Any) -> bool:
    return isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def _place(value: Any) -> Any:
    """Where an array of JAX is to be; what is on the host, stays there."""
    if not isinstance(value, jax.Array):
        return value
    return jax.ShapeDtypeStruct(value.shape, value.dtype, sharding=value.sharding)


def _manager(directory: str | Path, keep: int | None) -> Any:
    import orbax.checkpoint as ocp

    options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=False)
    return ocp.CheckpointManager(Path(directory).absolute(), options=options)

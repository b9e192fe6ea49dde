"""Saving and resuming a run, by Orbax, beside a description of the module."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx

from spark.core.internal import as_integer, is_key

from ._description import describe, differences
from ._layout import as_saved, in_layout, layouts
from .errors import CheckpointError
from .folder import as_folder

_TRIES = 100
"""How many checkpoints may be deleted one after the other while a reader reads them."""

_LISTINGS = 20
"""How often listing a folder may fail because a writer deletes a checkpoint of it."""


_EMPTY = 3
"""How often a folder must show no checkpoint to have none."""


def save(
    directory: str | os.PathLike[str], step: int, module: nnx.Module, *, keep: int = 1
) -> None:
    """Save all arrays of a module: parameters, traces, the count of steps, random keys.

    A checkpoint is complete or missing: a process that dies in between leaves the ones before as
    they were. In a run of several processes all of them call this.

    Args:
        directory: Folder of the checkpoints of a run, made if need be; or a URL that Orbax knows,
            such as `"gs://bucket/run"`, as a string.
        step: Number of this one, 0 or more; more than those of the ones before.
        module: A module, or one that holds several, an `nnx.Optimizer` too.
        keep: How many of the latest checkpoints stay, 1 or more.

    Raises:
        TypeError: If `step` or `keep` is no integer.
        ValueError: If one is too small.
        CheckpointError: If there is a checkpoint of this or a later step, the module has no arrays,
            or the directory is no folder or cannot be reached. Nothing is written then.

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

    step, keep = as_integer("step", step, 0), as_integer("keep", keep, 1)
    folder = as_folder(directory)
    if _is_there(folder) and not folder.is_dir():
        raise CheckpointError(f"{directory}: not a folder.")
    arrays = _arrays(module)
    if not jax.tree.leaves(arrays):
        raise CheckpointError(f"{type(module).__name__} has nothing to save: build it first.")
    about = {
        "module": describe(module),
        "checksums": _checksums(arrays),
        "layouts": layouts(module, arrays),
    }
    options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=False)
    items = ocp.args.Composite(state=ocp.args.StandardSave(arrays), about=ocp.args.JsonSave(about))
    try:
        with ocp.CheckpointManager(folder, options=options) as manager:
            latest = manager.latest_step()
            if latest is not None and latest >= step:
                raise CheckpointError(
                    f"step must be more than {latest}, the latest saved, got {step}."
                )
            manager.save(step, args=items)
            manager.wait_until_finished()
    except OSError as error:
        raise CheckpointError(f"{directory}: cannot be written ({error}).") from error


def restore(directory: str | os.PathLike[str], module: nnx.Module, step: int | None = None) -> int:
    """Restore the saved arrays of a module, each with the sharding that it has there.

    A run that goes on from there has the numbers of one that was never cut, bit for bit on the same
    devices. On other devices it has so where no sum crosses them. A scan that is cut in two has so
    step by step; in parallel over time, the default on a GPU, it differs by rounding.

    Another process may save to the same folder meanwhile: where it deletes the latest checkpoint
    while this one is reading it, the latest then is read instead.

    Args:
        directory: Folder or URL of the checkpoints, as in `save`.
        module: A module like the one that was saved, built if it has to be; on the devices that it
            is to run on.
        step: Which checkpoint; None takes the latest.

    Returns:
        The number of the checkpoint.

    Raises:
        TypeError: If `step` is no integer.
        ValueError: If it is negative.
        CheckpointError: If there is no such checkpoint, it is damaged, or it is one of another
            class, shape, time step, dtype, bound or law of connections; the message says what
            differs. The module then stays as it was.
    """
    wanted = None if step is None else as_integer("step", step, 0)
    folder = as_folder(directory)
    if not _is_there(folder) or not folder.is_dir():
        raise CheckpointError(f"{directory}: no such folder.")
    about, arrays = describe(module), _arrays(module)
    for _ in range(_TRIES):
        steps = _steps(folder)
        if not steps:
            raise CheckpointError(f"{directory}: no complete checkpoint.")
        latest = steps[-1] if wanted is None else wanted
        if latest not in steps:
            raise CheckpointError(f"{directory}: no checkpoint of step {latest}, only of {steps}.")
        try:
            found = _read(folder, latest, module, about, arrays)
        except Exception as error:  # Orbax and TensorStore raise of every kind
            if wanted is None and _steps(folder)[-1:] != [latest]:
                continue  # the writer has deleted it
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(
                f"{directory}: step {latest} is damaged ({type(error).__name__})."
            ) from error
        state = nnx.state(module)
        nnx.replace_by_pure_dict(state, jax.tree.map(_like, nnx.to_pure_dict(state), found))
        nnx.update(module, state)
        return latest
    raise CheckpointError(
        f"{directory}: {_TRIES} checkpoints were deleted while they were read; save with a larger "
        "keep."
    )


def _steps(folder: Any) -> list[int]:
    """The steps of all complete checkpoints, ascending.

    A listing may show neither the one that a writer deletes meanwhile nor its successor; so what
    shows none is listed again.
    """
    steps: list[int] = []
    for _ in range(_EMPTY):
        with _reader(folder) as manager:
            steps = sorted(manager.all_steps())
        if steps:
            break
    return steps


def _read(folder: Any, step: int, module: nnx.Module, about: Mapping[str, str], arrays: Any) -> Any:
    """The arrays of a checkpoint, by name, each where the module has it.

    Raises:
        CheckpointError: If they are those of another module, or not those that were saved.
    """
    import orbax.checkpoint as ocp

    if not (folder / str(step) / "about").is_dir():
        raise CheckpointError(f"step {step} was not written by spark.core.checkpoints.")
    with _reader(folder) as manager:
        written = manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore()))
        written = written["about"]
        if "checksums" not in written:  # saved before there were any
            written = {"module": written, "checksums": {}}
        different = differences(about, written["module"])
        if different:
            what = f"step {step} is of another run, or the module is not built:"
            raise CheckpointError(what, different)
        saved = written.get("layouts", {})
        into, other = as_saved(module, arrays, saved)
        wanted = ocp.args.Composite(state=ocp.args.StandardRestore(jax.tree.map(_place, into)))
        found = manager.restore(step, args=wanted)["state"]
    for name, checksum in _checksums(found).items():
        if written["checksums"].get(name, checksum) != checksum:
            raise CheckpointError(f"step {step} is damaged: {name} differs from the saved one.")
    return in_layout(found, arrays, other, saved)


def _arrays(module: nnx.Module) -> Any:
    """All arrays of a module by name, and numbers; of a random key its numbers."""

    def plain(value: Any) -> Any:
        return jax.random.key_data(value) if is_key(value) else value

    return jax.tree.map(plain, nnx.to_pure_dict(nnx.state(module)))


def _like(here: Any, found: Any) -> Any:
    """The array that was read, as a random key if the module has one there."""
    if not is_key(here):
        return found
    return jax.random.wrap_key_data(found, impl=jax.random.key_impl(here))


def _place(value: Any) -> Any:
    """Shape, dtype and sharding to restore an array to; one on the host stays there."""
    if not isinstance(value, jax.Array):
        return value
    return jax.ShapeDtypeStruct(value.shape, value.dtype, sharding=value.sharding)


def _checksums(arrays: Any) -> dict[str, int]:
    """A CRC-32 of each array that this process has the whole of, by its name."""
    return {
        jax.tree_util.keystr(path): zlib.crc32(_bytes(value))
        for path, value in jax.tree.leaves_with_path(arrays)
        if not isinstance(value, jax.Array) or value.is_fully_addressable
    }


def _bytes(value: Any) -> memoryview:
    return np.ascontiguousarray(value).reshape(-1).view(np.uint8).data


def _is_there(folder: Any) -> bool:
    """Whether there is such a folder or file.

    Raises:
        CheckpointError: If it cannot be reached, as where a package for the URL is missing.
    """
    try:
        return bool(folder.exists())
    except Exception as error:  # of whatever package reaches the URL
        raise CheckpointError(f"{folder}: cannot be reached ({error}).") from error


def _reader(folder: Any) -> Any:
    """A manager that lists and reads.

    Raises:
        CheckpointError: If the folder cannot be listed.
    """
    import orbax.checkpoint as ocp

    # Not read_only, which logs a warning; nothing is written unless one saves or deletes.
    options = ocp.CheckpointManagerOptions(create=False, enable_async_checkpointing=False)
    attempts = 0
    while True:
        try:
            return ocp.CheckpointManager(folder, options=options)
        except Exception as error:  # a checkpoint that a writer deletes while it is listed
            attempts += 1
            if attempts == _LISTINGS:
                raise CheckpointError(f"{folder}: cannot be listed ({error}).") from error

"""What synapses compute, in plain C: a reference that cases are measured beside.

The loops are those that one writes first. They are compiled once per process, with the compiler of
the machine and for its processor.
"""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .case import Program

COMPILERS = ("cc", "gcc", "clang")
"""Names of compilers; the first that is found is taken."""

FLAGS = ("-O3", "-march=native", "-ffast-math", "-fPIC")

SOURCE = """
#include <stdint.h>
#include <string.h>

/* Each function starts at rest, takes all steps, and leaves the sum of the currents over them. */

/* The trace of what arrives, and the sum of its currents. */
static inline void follow(
    const float *restrict drive, int64_t targets, float decay,
    float *restrict trace, float *restrict total)
{
    for (int64_t j = 0; j < targets; j++) {
        trace[j] = decay * trace[j] + drive[j];
        total[j] += trace[j];
    }
}

/* Every input reaches every target. */
void dense(
    const float *restrict weights, const uint8_t *restrict spikes,
    int64_t steps, int64_t inputs, int64_t targets, float decay,
    float *restrict drive, float *restrict trace, float *restrict total)
{
    memset(trace, 0, targets * sizeof(float));
    memset(total, 0, targets * sizeof(float));
    for (int64_t t = 0; t < steps; t++) {
        const uint8_t *now = spikes + t * inputs;
        memset(drive, 0, targets * sizeof(float));
        for (int64_t i = 0; i < inputs; i++)
            if (now[i]) {
                const float *row = weights + i * targets;
                for (int64_t j = 0; j < targets; j++)
                    drive[j] += row[j];
            }
        follow(drive, targets, decay, trace, total);
    }
}

/* Row i of the connections is from starts[i] up to starts[i + 1]. */
void sparse(
    const int32_t *restrict starts, const uint16_t *restrict places,
    const float *restrict weights, const uint8_t *restrict spikes,
    int64_t steps, int64_t inputs, int64_t targets, float decay,
    float *restrict drive, float *restrict trace, float *restrict total)
{
    memset(trace, 0, targets * sizeof(float));
    memset(total, 0, targets * sizeof(float));
    for (int64_t t = 0; t < steps; t++) {
        const uint8_t *now = spikes + t * inputs;
        memset(drive, 0, targets * sizeof(float));
        for (int64_t i = 0; i < inputs; i++)
            if (now[i])
                for (int32_t c = starts[i]; c < starts[i + 1]; c++)
                    drive[places[c]] += weights[c];
        follow(drive, targets, decay, trace, total);
    }
}

/* The same with delays: a place is a target of a later step, as counted from the current one. */
void delayed(
    const int32_t *restrict starts, const int32_t *restrict places,
    const float *restrict weights, const uint8_t *restrict spikes,
    int64_t steps, int64_t inputs, int64_t targets, int64_t ring_steps, float decay,
    float *restrict ring, float *restrict trace, float *restrict total)
{
    int64_t size = ring_steps * targets, origin = 0;
    memset(ring, 0, size * sizeof(float));
    memset(trace, 0, targets * sizeof(float));
    memset(total, 0, targets * sizeof(float));
    for (int64_t t = 0; t < steps; t++) {
        const uint8_t *now = spikes + t * inputs;
        for (int64_t i = 0; i < inputs; i++)
            if (now[i])
                for (int32_t c = starts[i]; c < starts[i + 1]; c++) {
                    int64_t place = origin + places[c];
                    ring[place < size ? place : place - size] += weights[c];
                }
        follow(ring + origin, targets, decay, trace, total);
        memset(ring + origin, 0, targets * sizeof(float));
        origin = origin + targets < size ? origin + targets : 0;
    }
}
"""

Matrix: TypeAlias = np.ndarray[Any, Any]


class CompilerError(RuntimeError):
    """The C could not be compiled; the message says why."""


def missing() -> str | None:
    """Why there is no such reference on this machine, or None if there is."""
    try:
        _library()
    except CompilerError as error:
        return str(error)
    return None


def dense(weights: Matrix, spikes: Matrix, decay: float) -> Program:
    """Sums along a dense kernel, and their trace.

    Args:
        weights: The kernel, of shape (inputs, targets).
        spikes: Booleans of shape (steps, inputs).
        decay: What is left of a trace after a step.

    Returns:
        What starts at rest and returns the currents summed over all steps.

    Raises:
        CompilerError: If there is no compiler, or it fails.
    """
    _, targets = weights.shape
    data = [_as(weights, np.float32), _as(spikes, np.uint8)]
    return _program("dense", data, [*spikes.shape, targets], decay, [targets] * 3)


def sparse(
    starts: Matrix, places: Matrix, weights: Matrix, spikes: Matrix, targets: int, decay: float
) -> Program:
    """Sums along rows of connections, and their trace.

    Args:
        starts: Where the row of each input starts, and where the last one ends.
        places: Target of each connection.
        weights: Weight of each connection.
        spikes: Booleans of shape (steps, inputs).
        targets: Number of targets, at most 65 536.
        decay: What is left of a trace after a step.

    Returns:
        As `dense`.

    Raises:
        CompilerError: As `dense`.
    """
    data = [_as(starts, np.int32), _as(places, np.uint16)]
    data += [_as(weights, np.float32), _as(spikes, np.uint8)]
    return _program("sparse", data, [*spikes.shape, targets], decay, [targets] * 3)


def delayed(
    starts: Matrix,
    places: Matrix,
    weights: Matrix,
    spikes: Matrix,
    ring: tuple[int, int],
    decay: float,
) -> Program:
    """Sums along rows of connections, each with its delay, and their trace.

    Args:
        starts: Where the row of each input starts, and where the last one ends.
        places: Target of each connection, plus its delay in steps times the number of targets.
        weights: Weight of each connection.
        spikes: Booleans of shape (steps, inputs).
        ring: One step more than the longest delay, and the number of targets.
        decay: What is left of a trace after a step.

    Returns:
        As `dense`.

    Raises:
        CompilerError: As `dense`.
    """
    steps, targets = ring
    data = [_as(starts, np.int32), _as(places, np.int32)]
    data += [_as(weights, np.float32), _as(spikes, np.uint8)]
    sizes = [*spikes.shape, targets, steps]
    return _program("delayed", data, sizes, decay, [steps * targets, targets, targets])


def _as(array: Matrix, dtype: Any) -> Matrix:
    """An array row by row, as C reads it; the same one where it is so already."""
    return np.ascontiguousarray(array, dtype)


def _program(
    name: str, data: Sequence[Matrix], sizes: Sequence[int], decay: float, results: Sequence[int]
) -> Program:
    """A call of a function with all that it needs, of which the last result is wanted."""
    function = _library()[name]
    written = [np.zeros(size, np.float32) for size in results]
    # Addresses are taken once: a short call would be outlasted by that.
    arguments = [
        *[ctypes.c_void_p(array.ctypes.data) for array in data],
        *map(ctypes.c_int64, sizes),
        ctypes.c_float(decay),
        *[ctypes.c_void_p(array.ctypes.data) for array in written],
    ]
    held = (data, written)

    def program() -> Matrix:
        function(*arguments)
        _, (*_, total) = held
        return total

    return program


@functools.cache
def _library() -> ctypes.CDLL:
    found = [path for path in map(shutil.which, COMPILERS) if path]
    if not found:
        raise CompilerError(f"it takes a compiler of C, and none is here: {', '.join(COMPILERS)}")
    # Loaded, it needs its file no more; Windows holds on to it.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        source, compiled, linked = (Path(folder, f"plain.{end}") for end in ("c", "o", "so"))
        source.write_text(SOURCE)
        _run(found[0], *FLAGS, "-c", source, "-o", compiled)
        # Linked with -ffast-math, it would have the whole process flush small numbers to 0.
        _run(found[0], "-shared", compiled, "-o", linked)
        try:
            return ctypes.CDLL(str(linked))
        except OSError as error:
            raise CompilerError(f"what {found[0]} compiled cannot be loaded: {error}") from error


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise CompilerError(f"{command[0]} compiles no C: {last}")

"""Large steps of the engine, shared among threads: whole weights, so that every sum is exact."""

import os
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from numba import njit

from spark.nn.components.synapses._cpu import bridge, header, stored, threads
from spark.nn.components.synapses._projections.dense import project
from spark.nn.components.synapses._projections.row_sums import project_later, project_rows
from spark.nn.components.synapses._projections.rows import StoredRows

pytestmark = [
    pytest.mark.versions,
    pytest.mark.skipif(
        jax.default_backend() != "cpu", reason="the engine runs in programs for a CPU"
    ),
]

POOL = int(os.environ.get("SPARK_THREADS", os.cpu_count() or 1))
"""Threads of XLA's pool."""

INPUTS, TARGETS, STEPS, WIDTH = 40, 900, 5, 4000


def network(even, ordered=True, steps=STEPS):
    """Connections of more than 20 inputs that are worth several threads; their places and matrix.

    Returns:
        The rows, their adjacency, weights and the matrix of the sums.
    """
    rng = np.random.default_rng(3)
    lengths = np.full(INPUTS, WIDTH) if even else rng.integers(0, 2 * WIDTH, INPUTS)
    starts = np.append(0, np.cumsum(lengths))
    indices = rng.integers(steps * TARGETS, size=starts[-1], dtype=np.int32)
    pre = np.repeat(np.arange(INPUTS), lengths)
    if ordered:
        indices = indices[np.lexsort((indices, pre))]
    weights = rng.integers(-9, 10, starts[-1]).astype(np.float32)
    shape = INPUTS, steps * TARGETS
    matrix = scipy.sparse.coo_array((weights, (pre, indices)), shape).toarray()
    adjacency = jnp.asarray(starts[:1] if even else starts, jnp.int32), jnp.asarray(indices)
    return (
        StoredRows(INPUTS, TARGETS, len(weights), steps=steps),
        adjacency,
        jnp.asarray(weights),
        matrix,
    )


def spikes(batch=()):
    return np.random.default_rng(4).random((*batch, INPUTS)) < 0.7


def test_steps_of_these_tests_are_large_enough_for_threads():
    assert spikes().sum() * WIDTH > 4 * stored.GRAIN


@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("even", [True, False])
def test_sums_are_exact(even, ordered, batch):
    rows, adjacency, weights, matrix = network(even, ordered)
    xs = spikes(batch)
    found = project_rows(rows, adjacency, weights, xs, jnp.dtype("float32"))
    np.testing.assert_array_equal(found, (xs @ matrix).reshape(*batch, STEPS, TARGETS))


@pytest.mark.parametrize("ordered", [True, False])
def test_later_sums_are_exact(ordered):
    rows, adjacency, weights, matrix = network(False, ordered)
    xs, ring = spikes(), np.zeros((STEPS, TARGETS), np.float32)
    for now in (0, 3):
        after, drive = project_later(
            rows, adjacency, weights, xs, jnp.asarray(ring), jnp.int32(now)
        )
        expected = np.roll((xs @ matrix).reshape(STEPS, TARGETS), now, axis=0)
        np.testing.assert_array_equal(drive, expected[now])
        expected[now] = 0
        np.testing.assert_array_equal(after, expected)


@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("even", [True, False])
def test_derivatives_are_exact(even, batch):
    rows, adjacency, weights, matrix = network(even, steps=1)
    xs = spikes(batch).astype(np.float32)
    aim = np.random.default_rng(5).integers(-9, 10, (*batch, TARGETS)).astype(np.float32)

    def total(weights, xs):
        return jnp.sum(project_rows(rows, adjacency, weights, xs, jnp.dtype("float32")) * aim)

    by_weights, by_inputs = jax.grad(total, (0, 1))(weights, xs)
    pre, post = (np.asarray(each) for each in rows.all(adjacency))
    products = xs.reshape(-1, INPUTS).T @ aim.reshape(-1, TARGETS)
    np.testing.assert_array_equal(by_weights, products[pre, post])
    np.testing.assert_array_equal(by_inputs, aim @ matrix.T)


@pytest.mark.parametrize("batch", [(), (3,)])
def test_dense_sums_are_exact(batch):
    rng = np.random.default_rng(6)
    kernel = rng.integers(-9, 10, (500, 3001)).astype(np.float32)
    xs = rng.random((*batch, 500)) < 0.3
    found = jax.jit(project, static_argnames="way")((kernel,), xs, way="events")
    np.testing.assert_array_equal(found, xs @ kernel)


def test_a_row_with_a_wrong_target_fails_on_every_thread():
    rows, (starts, indices), weights, _ = network(True)
    for wrong in (0, WIDTH - 1, len(indices) - 1):
        adjacency = starts, indices.at[wrong].set(STEPS * TARGETS)
        # A ValueError where the call runs at once, else a JaxRuntimeError.
        with pytest.raises(Exception, match="lead to no target"):
            jax.block_until_ready(
                project_rows(rows, adjacency, weights, np.ones(INPUTS, bool), jnp.dtype("float32"))
            )


def test_many_callers_share_one_pool():
    rows, adjacency, weights, matrix = network(False)
    expected = (spikes() @ matrix).reshape(STEPS, TARGETS)
    faults = []

    @jax.jit
    def sums(xs):
        return project_rows(rows, adjacency, weights, xs, jnp.dtype("float32"))

    def call():
        for _ in range(40):
            if not np.array_equal(sums(spikes()), expected):
                faults.append(1)

    callers = [threading.Thread(target=call) for _ in range(24)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=120)
        assert not caller.is_alive()
    assert not faults


@pytest.mark.parametrize("batch", [(), (3,)])
def test_gradients_without_targets_are_0(batch):
    rows = StoredRows(100_000, 0, 0)
    adjacency = jnp.zeros(1, jnp.int32), jnp.zeros(0, jnp.uint16)
    xs = np.ones((*batch, rows.inputs), np.float32)

    def total(xs):
        return jnp.sum(project_rows(rows, adjacency, jnp.zeros(0), xs, jnp.dtype("float32")))

    np.testing.assert_array_equal(jax.grad(total)(xs), 0)


def test_parts_of_crowded_rows_have_as_many_connections():
    # 2000 rows of 100 connections to 1000 places: more rows than places of a part.
    indices = np.sort(np.random.default_rng(1).integers(1000, size=(2000, 100)), axis=1)
    rows = np.zeros(1, np.uint32), indices.astype(np.uint16).ravel(), None, 100
    bounds = np.zeros(9, np.int64)
    stored._set_bounds.py_func(rows, np.arange(2000), 1000, bounds)
    shares = np.histogram(indices, bounds)[0] / indices.size
    # 63 rows tell it. Where an eighth of a row ends is known to 3.3 % (binomial, of 100), so the
    # mean of 63 to 0.4 %, and the part between two of them to 0.6 %: five times that.
    np.testing.assert_allclose(shares, 1 / 8, atol=0.03)


def called(name, work):
    """A function of an integer, which work in parts is given beside what it returns."""
    in_parts, failed = threads.in_parts(work), bridge.failure("a part has failed")
    version = header.version()

    def handle(frame):
        if bridge.answered(frame, version, "test"):
            return 0
        try:
            given = bridge.array(frame, bridge.OPERANDS, 0, np.int32)[0]
            made = bridge.array(frame, bridge.RESULTS, 0, np.int32)
            made[:] = 0
            in_parts(frame, threads.how_many_parts(frame, 4, 1), (made, given))
        except Exception:
            return failed(frame)
        return 0

    bridge.register(name, handle)
    call = jax.ffi.ffi_call(name, jax.ShapeDtypeStruct((4,), jnp.int32))
    return lambda given: np.asarray(call(jnp.int32(given)))


@pytest.mark.skipif(POOL < 2, reason="the pool has one thread")
def test_parts_run_at_once():
    @njit
    def meet(part, parts, operands):
        made, _ = operands
        counter = np.int64(made.ctypes.data)
        threads._add(counter, 1)
        for _ in range(10**9):  # some seconds, if the others wait until this part is done
            if threads._read(counter) >= 2:
                made[2] += part == 0
                return

    assert called("spark_synapses_test_meeting", meet)(0)[2] == 1


def test_a_part_that_fails_raises():
    @njit
    def fail(part, parts, operands):
        if part == operands[1]:
            raise ValueError("this part")

    call = called("spark_synapses_test_failure", fail)
    call(9)
    for part in range(min(POOL, 4)):
        with pytest.raises(Exception, match="a part has failed"):
            call(part)


@pytest.mark.skipif("SPARK_THREADS" in os.environ, reason="runs the other tests of this file")
@pytest.mark.parametrize("count", [1, 7])
def test_the_number_of_threads_changes_nothing(count):
    # XLA's pool has as many threads as these say that there are processors.
    several = dict.fromkeys(("NPROC", "PJRT_NPROC", "SPARK_THREADS"), str(count))
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(
        command, env=os.environ | several, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]

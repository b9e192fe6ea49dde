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

from spark.nn.components.synapses._cpu import stored
from spark.nn.components.synapses._projections.dense import project
from spark.nn.components.synapses._projections.row_sums import project_later, project_rows
from spark.nn.components.synapses._projections.rows import StoredRows

pytestmark = [
    pytest.mark.versions,
    pytest.mark.skipif(
        jax.default_backend() != "cpu", reason="the engine runs in programs for a CPU"
    ),
]

INPUTS, TARGETS, STEPS, WIDTH = 40, 900, 5, 4000


def network(even, ordered=True, steps=STEPS):
    """Connections of more than 20 inputs that are worth several threads; their places and matrix.

    Returns:
        The rows, their wires, weights and the matrix of the sums.
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
    wires = jnp.asarray(starts[:1] if even else starts, jnp.int32), jnp.asarray(indices)
    return StoredRows(INPUTS, TARGETS, len(weights), steps), wires, jnp.asarray(weights), matrix


def spikes(batch=()):
    return np.random.default_rng(4).random((*batch, INPUTS)) < 0.7


def test_the_steps_here_are_large():
    assert spikes().sum() * WIDTH > 4 * stored._GRAIN


@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("even", [True, False])
def test_sums_are_exact(even, ordered, batch):
    rows, wires, weights, matrix = network(even, ordered)
    xs = spikes(batch)
    found = project_rows(rows, wires, weights, xs, jnp.dtype("float32"))
    np.testing.assert_array_equal(found, (xs @ matrix).reshape(*batch, STEPS, TARGETS))


@pytest.mark.parametrize("ordered", [True, False])
def test_later_sums_are_exact(ordered):
    rows, wires, weights, matrix = network(False, ordered)
    xs, ring = spikes(), np.zeros((STEPS, TARGETS), np.float32)
    for now in (0, 3):
        after, drive = project_later(rows, wires, weights, xs, jnp.asarray(ring), jnp.int32(now))
        expected = np.roll((xs @ matrix).reshape(STEPS, TARGETS), now, axis=0)
        np.testing.assert_array_equal(drive, expected[now])
        expected[now] = 0
        np.testing.assert_array_equal(after, expected)


@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("even", [True, False])
def test_derivatives_are_exact(even, batch):
    rows, wires, weights, matrix = network(even, steps=1)
    xs = spikes(batch).astype(np.float32)
    aim = np.random.default_rng(5).integers(-9, 10, (*batch, TARGETS)).astype(np.float32)

    def total(weights, xs):
        return jnp.sum(project_rows(rows, wires, weights, xs, jnp.dtype("float32")) * aim)

    by_weights, by_inputs = jax.grad(total, (0, 1))(weights, xs)
    pre, post = (np.asarray(each) for each in rows.all(wires))
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


def test_a_row_that_leads_elsewhere_fails_whichever_thread_meets_it():
    rows, (starts, indices), weights, _ = network(True)
    for wrong in (0, WIDTH - 1, len(indices) - 1):
        wires = starts, indices.at[wrong].set(STEPS * TARGETS)
        with pytest.raises(ValueError, match="lead to no target"):
            jax.block_until_ready(
                project_rows(rows, wires, weights, np.ones(INPUTS, bool), jnp.dtype("float32"))
            )


def test_many_callers_share_one_pool():
    rows, wires, weights, matrix = network(False)
    expected = (spikes() @ matrix).reshape(STEPS, TARGETS)
    faults = []

    @jax.jit
    def sums(xs):
        return project_rows(rows, wires, weights, xs, jnp.dtype("float32"))

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


@pytest.mark.skipif("SPARK_THREADS" in os.environ, reason="runs the other tests of this file")
@pytest.mark.parametrize("threads", [1, 7])
def test_the_number_of_threads_changes_nothing(threads):
    # XLA's pool has as many threads as these say that there are processors.
    several = {"NPROC": str(threads), "PJRT_NPROC": str(threads), "SPARK_THREADS": str(threads)}
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(
        command, env=os.environ | several, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]

"""Programs that are compared with one another compute the same."""

import jax
import numpy as np
import pytest

from spark.bench import registry
from spark.bench.cases import budget, scaling, synapses, tracers
from spark.bench.conform import references
from spark.core.tracers.testing import tolerance
from spark.nn.components.synapses import TracedSynapses


def result(name):
    return registry.all_cases()[name].setup()()


def test_ways_to_run_a_trace_compute_the_same():
    group = "scan/Tracer/float32/1000x10"
    expected = references.exponential(tracers.spikes((1000, 10)), 10.0)
    # Single precision over the 100 steps that a trace remembers.
    for way in ("sequential", "parallel"):
        assert result(f"{group}/{way}") == pytest.approx(expected, abs=1e-5)
    assert result(f"{group}/step") == pytest.approx(expected[-1], abs=1e-5)
    steps, elements = np.nonzero(tracers.spikes((1000, 10)))
    assert result(f"{group}/event") == pytest.approx(expected[steps, elements], abs=1e-5)


def test_limits_pass_over_their_arrays_until_dispatch_does_not_count():
    times = 1024  # 256 MiB of 256 KiB each
    for name, moved, last in (("copy", 2, times), ("update", 2, 1 + times), ("read", 1, 1024)):
        case = registry.all_cases()[f"limits/{name}/256KiB"]
        assert case.counts.bytes_moved == moved * 2**28
        *_, found = jax.tree.leaves(case.setup()())
        np.testing.assert_array_equal(found, last)


def test_programs_of_a_synapse_compute_the_same():
    found = {
        program: result(f"synapses/100x100/float32/batch=1/{program}/activity=0.02")
        for program in ("hand-written", "traced-shared", "traced-shared-steps")
    }
    last, every = map(np.asarray, found.pop("hand-written"))
    assert last == pytest.approx(every[-1])
    for currents in found.values():
        # Sums of a few weights in another order; the largest current is about 14.
        assert np.asarray(currents) == pytest.approx(every, abs=1e-4)


def test_references_of_the_budget_compute_the_same_as_synapses():
    shape, activity = (50, 20), 0.1
    tau = synapses.PROGRAMS["traced-synapse"][1](20)["tau"]
    references = {
        "traced-shared": [
            budget.update(shape, activity, np.full((), 5.0), True),
            budget.product_then_trace(shape, activity),
        ],
        "traced-synapse": [budget.update(shape, activity, tau, True)],
    }
    for program, others in references.items():
        ours = np.asarray(synapses.stepped(program, shape, activity, "float32")())
        for other in others:
            # Synapses ask for all digits in a product. The references ask for nothing, and a GPU
            # rounds their weights to the 10 bits of TF32, which is worth 3e-3 here.
            with jax.default_matmul_precision("highest"):
                *_, currents = jax.tree.leaves(other())  # some return their traces too, first
            # Sums of 20 weights in another order; the largest current is about 10.
            assert np.asarray(currents) == pytest.approx(ours, abs=1e-4)


def test_sharded_synapses_compute_the_same_as_whole_ones():
    whole = TracedSynapses(units=(scaling.SIZE,), tau=5.0, dtype="float32")
    expected = np.asarray(whole.scan(tracers.spikes((scaling.STEPS, scaling.SIZE))))
    # Equal on a CPU; elsewhere the two are different programs.
    close = tolerance("devices", "float32") * np.abs(expected).max()
    np.testing.assert_allclose(result("scaling/strong/1"), expected, rtol=0, atol=close)


def test_synaptic_events_are_those_of_the_input():
    case = registry.all_cases()["synapses/100x100/float32/batch=1/linear/activity=0.02"]
    spikes = tracers.spikes((1000, 100), 0.02)
    # A binomial count: 2000 expected, with a standard deviation of 44.
    assert case.counts.synaptic_events == pytest.approx(100 * spikes.sum(), rel=0.1)


def test_every_synapse_is_measured_at_every_activity_and_size():
    names = set(registry.all_cases())
    for program in ("linear", "traced-shared", "traced-target", "traced-group", "double-shared"):
        for size in (100, 1000, 4000, 10_000):
            for activity in ("0.001", "0.02", "0.2", "1"):
                where = f"synapses/{size}x{size}/float32/batch=1"
                assert f"{where}/{program}/activity={activity}" in names
    assert "budget/step/4000x4000/activity=0.02/per-synapse" in names
    assert "synapses/4000x4000/float32/batch=1/traced-synapse/activity=0.02" in names
    assert "synapses/1000x1000/float32/batch=32/traced-shared/activity=0.02" in names
    assert "synapses/1000x1000/float16/batch=1/traced-shared/activity=0.02" in names


def test_received_bytes_are_those_of_the_collectives_of_a_program():
    gather = "%g = pred[2048]{0} all-gather(%x), channel_id=1"
    reduce = "%r = f32[2,100]{1,0} all-reduce(%y), to_apply=%add"
    other = "%s = f32[8]{0} add(%all-gather, %r)"
    assert scaling.received_bytes("\n".join([gather, other]), 4) == 2048 * 3 / 4
    # A ring passes each of d parts on 2 (d - 1) times.
    assert scaling.received_bytes(reduce, 2) == 4 * 2 * 100
    assert scaling.received_bytes(other, 1) == 0
    with pytest.raises(ValueError, match="collective-permute"):
        scaling.received_bytes("%p = f32[8]{0} collective-permute(%x)", 2)

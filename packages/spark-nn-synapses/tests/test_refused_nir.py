"""What graphs of NIR and synapses cannot say of one another is refused."""

import sys

import numpy as np
import pytest

from spark.core.tracers import SaturableTracer
from spark.nn.components.synapses import (
    FixedFanOut,
    InputSpec,
    LinearSynapses,
    RUTracedSynapses,
    TracedSynapses,
)
from spark.nn.interchange import from_nir, to_nir

from .kinds import normal

nir = pytest.importorskip("nir")
KERNEL = normal(0, (3, 5))


def make(kind, arguments, kernel=KERNEL, **options):
    options = {"dtype": "float32", **options}
    synapses = kind(units=kernel.shape[:1], kernel_initializer=kernel, **arguments, **options)
    synapses.build({"spikes": InputSpec(kernel.shape[1:])})
    return synapses


def graph(*nodes):
    return nir.NIRGraph.from_list(*nodes)


def leaky(size=3):
    return nir.LI(tau=np.ones(size), r=np.ones(size), v_leak=np.zeros(size))


def neuron():
    names = ("tau", "r", "v_leak", "v_threshold", "v_reset")
    return nir.LIF(**dict.fromkeys(names, np.ones(3)))


def loop():
    nodes = {
        "in": nir.Input({"input": np.array([3])}),
        "linear": nir.Linear(np.ones((3, 3))),
        "li": leaky(),
        "out": nir.Output({"output": np.array([3])}),
    }
    edges = [("in", "linear"), ("linear", "li"), ("li", "linear"), ("li", "out")]
    return nir.NIRGraph(nodes, edges)


LINEAR = nir.Linear(KERNEL)
BAD_GRAPHS = [
    (lambda: "synapses.nir", TypeError, r"must be a nir.NIRGraph, as of nir.read, got 'syn"),
    (lambda: graph(LINEAR, neuron()), ValueError, "got LIF after it. Give it the part"),
    (lambda: graph(leaky()), ValueError, "got LI first"),
    (lambda: graph(nir.Scale(np.ones(5)), LINEAR), ValueError, "got Scale first"),
    (lambda: graph(LINEAR, graph(leaky())), ValueError, "got NIRGraph after it"),
    (lambda: graph(LINEAR, *[leaky()] * 3), ValueError, "got 3 leaky integrators"),
    (lambda: graph(nir.Linear(np.ones((2, 3, 5)))), ValueError, r"weights of shape \(2, 3, 5\)"),
    (lambda: graph(nir.Affine(KERNEL, np.ones(3))), ValueError, "got a bias and no LI"),
    (loop, ValueError, "no row, in -> linear, linear -> li, li -> linear, li -> out"),
    (lambda: nir.NIRGraph({}, [], type_check=False), ValueError, "without an edge"),
    (
        lambda: nir.NIRGraph.from_list(LINEAR, leaky(2), type_check=False),
        ValueError,
        r"a parameter of shape \(2,\) for 3 targets",
    ),
    (
        lambda: graph(LINEAR, nir.LI(np.zeros(3), np.ones(3), np.zeros(3))),
        ValueError,
        "tau must be > 0, got 0",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD_GRAPHS)
def test_graphs_that_are_not_synapses_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        from_nir(make())


class Saturating(TracedSynapses):
    tracer_class = SaturableTracer


PER_INPUT = np.array([[4.0, 9.0, 4.0, 4.0, 9.0]])
BAD_SYNAPSES = [
    (lambda: TracedSynapses(units=3), RuntimeError, "no kernel before it is built"),
    (lambda: KERNEL, TypeError, "synapses must be synapses, got ndarray"),
    (lambda: make(Saturating, {}), TypeError, "got a SaturableTracer"),
    (lambda: make(TracedSynapses, {"tau": PER_INPUT}), ValueError, "one that differs over the"),
    (
        lambda: make(TracedSynapses, {}, integrator="euler"),
        ValueError,
        r"'exact', got 'euler', .* tau = -dt / log\(1 - dt / tau\) decays alike",
    ),
    (
        lambda: make(LinearSynapses, {}, np.ones((3, 5, 2))),
        ValueError,
        r"one axis of targets and one of inputs, got shape \(3, 5, 2\)",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD_SYNAPSES)
def test_synapses_that_a_graph_cannot_express_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        to_nir(make())


def test_a_spike_for_each_connection_is_refused():
    synapses = TracedSynapses(units=3, async_spikes=True)
    synapses.build({"spikes": InputSpec((3, 5), True)})
    with pytest.raises(ValueError, match="async_spikes must be False"):
        to_nir(synapses)


@pytest.mark.parametrize(
    ("cls", "arguments", "error", "message"),
    [
        (RUTracedSynapses, {}, TypeError, "without short-term plasticity"),
        (TracedSynapses, {"delays": 2.0}, ValueError, "delays must be None"),
        (LinearSynapses, {"delays": np.ones((3, 5))}, ValueError, "delays must be None"),
        (LinearSynapses, {"connectivity": FixedFanOut(fan_out=1)}, ValueError, "must be 'dense'"),
    ],
)
def test_plasticity_delays_and_connectivity_are_refused(cls, arguments, error, message):
    synapses = cls(units=3, **arguments)
    synapses.build({"spikes": InputSpec((5,))})
    with pytest.raises(error, match=message):
        to_nir(synapses)


@pytest.mark.parametrize("name", ["second", "area"])
def test_lengths_of_time_are_checked(name):
    synapses = make(TracedSynapses, {})
    with pytest.raises(ValueError, match=f"{name} must be finite and > 0, got 0"):
        to_nir(synapses, **{name: 0})
    with pytest.raises(ValueError, match=f"{name} must be finite and > 0, got 0"):
        from_nir(to_nir(synapses), **{name: 0})


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "nir", None)
    for call in (lambda: to_nir(make(TracedSynapses, {})), lambda: from_nir(None)):
        with pytest.raises(ImportError, match=r"needs nir: pip install 'spark-nn-synapses\[nir\]'"):
            call()

"""Whatever comes in, what comes out is a result or an error that says what was wrong.

`nox -s fuzz` tries 10 000 of each; the tests a few.
"""

import itertools
import os
import traceback

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spark.core import tracers
from spark.core.tracers import BaseTracer
from spark.nn import payloads
from spark.nn.components import synapses

EXAMPLES = int(os.environ.get("EXAMPLES", 30))
COUNT = itertools.count(1)
OURS = (TypeError, ValueError, RuntimeError)

SHAPES = [(), (1,), (3,), (2, 2), (0,), 3, -1, 2.5, "3", None]
NUMBERS = [5.0, 1.0, 0.5, 20_000.0, 1e9, 0.0, -1.0, 1e-30, 1e300, np.nan, np.inf, True, "5", None]
ARRAYS = [np.array([5.0, 1.0, 20.0]), np.full((2, 2), 3.0), np.ones((4, 1, 3)), [1, [2]], 1j]
DTYPES = ["float16", "bfloat16", "float32", "float64", "int8", "nonsense", None]
TIMES = [1.0, 0.1, 3, 0, -1.0, np.nan, "1"]

shapes, dtypes, times = map(st.sampled_from, (SHAPES, DTYPES, TIMES))
numbers = st.sampled_from(NUMBERS) | st.sampled_from(ARRAYS)
VALUES = [0, 1, 0.5, -2, 1e30, -1e39, np.nan, np.inf]
KINDS = [bool, np.int8, np.uint32, np.int64, np.float16, np.float32, np.float64, np.complex64]


@st.composite
def inputs(draw, leading=()):
    """An array of any kind and of a shape that may fit."""
    shape = draw(st.sampled_from([(), (1,), (3,), (2, 2), (0,), (2, 1), (4,)]))
    values = np.array(draw(st.lists(st.sampled_from(VALUES), min_size=3, max_size=3)))
    with np.errstate(all="ignore"):
        full = np.resize(values, (*leading, *shape)).astype(draw(st.sampled_from(KINDS)))
    return draw(st.sampled_from([full, full, full, full.tolist(), "spikes", None]))


WAYS = ["auto", "dense", "events"]
SOUND = st.sampled_from([np.ones((2, 3), bool), np.eye(2, 3), np.zeros((2, 3), np.int8)])
INDICES = [[0, 1, 2], [2, 0, 0], [0, 0, 1], [0, 0, 9], [0], [], [-1], [0.5], "0"]
MATRICES = [np.eye(3), 1 - np.eye(3), np.eye(3, 2), np.ones(3), np.full((3, 3), np.nan), "eye"]
PROBABILITIES = [0.5, 1, 1e-9, 0.0, 1.5, np.nan, "0.5", None]
COUNTS = [1, 2, 3, 4, 100, 0, -1, 1.0, "2", None]
ROUND = [0.0, 2.0, 3, np.array([0.0, 2.0, 1.0]), np.ones((3, 3)), np.eye(3), None]
DELAYS = [*ROUND, *ROUND, 0.5, -1.0, np.nan, 1e12, "2", np.ones(4), np.eye(3, 2)]


@st.composite
def connectivities(draw):
    """One of each kind, sound or not; None where it was refused."""
    pick = st.sampled_from
    kind = draw(pick(["given", "matrix", "random", "fan_out", "procedural", "other"]))
    if kind == "given":
        fields = {"pre": draw(pick(INDICES[:3] + INDICES)), "post": draw(pick(INDICES))}
        if draw(st.booleans()):
            fields["weights"] = draw(pick([[1.0, 2.0, 3.0], [1], np.nan]))
        if draw(st.booleans()):
            fields["delays"] = draw(pick([[0.0, 1.0, 4.0], [0.5], [1.0]]))
        return attempt(lambda: synapses.SparseConnectivity(**fields))
    if kind == "matrix":
        return attempt(lambda: synapses.SparseConnectivity.from_scipy(draw(pick(MATRICES))))
    if kind == "random":
        return attempt(lambda: synapses.RandomConnectivity(probability=draw(pick(PROBABILITIES))))
    if kind == "other":
        return draw(pick(["dense", "sparse", {"kind": "fan_out", "fan_out": 2}, {"kind": 1}, 3]))
    fan_out = draw(pick(COUNTS))
    if kind == "fan_out":
        return attempt(lambda: synapses.FixedFanOut(fan_out=fan_out))
    law = draw(pick(["constant", "uniform", "normal", "gamma"]))
    return attempt(lambda: synapses.ProceduralConnectivity(fan_out=fan_out, law=law))


def forget():
    """Drop the programs of earlier examples now and then: 10 000 would fill the memory."""
    if next(COUNT) % 200 == 0:
        jax.clear_caches()


def attempt(action):
    """The result, or None where one of our errors came; another fails the test."""
    try:
        return action()
    except OURS as caught:
        error = caught
    # It says something, and no library under ours found the fault first.
    assert str(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    assert any(ours in last.filename for ours in ("/spark/", "pydantic")), last
    return None


def options(draw, base):
    """Some keywords of a class, each with a value that may do."""
    common = {
        "dtype": dtypes,
        "dt": times,
        "seed": st.sampled_from([None, 0, 2**40, -1, 2**70, "0"]),
        "rounding": st.sampled_from(["stochastic", "nearest", "up"]),
        "integrator": st.sampled_from(["exact", "euler", "rk4"]),
        "trainable": st.sampled_from([(), "tau", ("scale",), ("nothing",)]),
        "unknown": st.just(1),
    }
    chosen = draw(st.lists(st.sampled_from(sorted(common)), max_size=2, unique=True))
    return base | {name: draw(common[name]) for name in chosen}


TRACERS = {
    tracers.Tracer: ("tau", "scale", "base"),
    tracers.DoubleTracer: ("tau_1", "tau_2", "scale_1"),
    tracers.SaturableTracer: ("tau", "minimum", "maximum"),
    tracers.SaturableDoubleTracer: ("tau_1", "tau_2", "base_2"),
    tracers.RUTracer: ("R_tau", "U_tau", "scale_U"),
}


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_tracers(data):
    forget()
    draw = data.draw
    cls, names = draw(st.sampled_from(list(TRACERS.items())))
    sound = dict(zip(names, (5.0, 3.0, 0.5), strict=True))
    wild = draw(st.lists(st.sampled_from(names), max_size=1))
    given_ = options(draw, sound | {name: draw(numbers) for name in wild})
    shape = draw(shapes)
    tracer = attempt(lambda: cls(shape, **given_))
    if tracer is None:
        return
    for _ in range(draw(st.integers(1, 3))):
        before = [np.asarray(trace) for trace in tracer.state.traces]
        count = int(tracer.rng.count[...])
        verb = draw(st.sampled_from(["call", "scan", "jump", "reset"]))
        result = attempt(lambda verb=verb: VERBS[verb](draw, tracer))
        if result is None:
            assert int(tracer.rng.count[...]) == count
            for one, other in zip(before, tracer.state.traces, strict=True):
                # By their bytes: NumPy knows no NaN of bfloat16 as equal to itself.
                assert one.tobytes() == np.asarray(other).tobytes()
        else:
            assert result.dtype == tracer.dtype


def _reset(draw, tracer):
    tracer.masked_reset(draw(inputs()))
    return tracer.value


def _jump(draw, tracer):
    moments = draw(st.sampled_from([[1.0], [1.0, 2.5], [], [2.0, 1.0], [np.nan], "1", [[1.0]]]))
    where = draw(st.sampled_from([[0], [0, 1], [], [-1], [9], [0.5], None]))
    return tracer.jump(moments, where, draw(times), draw(inputs()))


VERBS = {
    "call": lambda draw, tracer: tracer(draw(inputs())),
    "scan": lambda draw, tracer: tracer.scan(
        draw(inputs((2,))), draw(st.sampled_from(["auto", "sequential", "parallel", "fast"]))
    ),
    "jump": _jump,
    "reset": _reset,
}


SYNAPSES = {
    synapses.LinearSynapses: ("tau",),  # which it has not
    synapses.TracedSynapses: ("tau", "scale"),
    synapses.DoubleTracedSynapses: ("tau_1", "scale_2"),
    synapses.RUTracedSynapses: ("tau", "R_tau", "U_tau", "scale_U"),
    synapses.SaturatingTracedSynapses: ("tau", "opening"),
}


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_synapses(data):
    forget()
    draw = data.draw
    cls, names = draw(st.sampled_from(list(SYNAPSES.items())))
    # Sound more often than not, since little is wrong with one that is refused at once.
    base = {"units": draw(st.just(3) | st.just((3,)) | shapes)}
    if draw(st.integers(0, 3)) == 0:
        base["kernel_initializer"] = draw(
            st.sampled_from([np.ones((3, 3)), np.full((2, 2), np.nan), np.ones(3), "zeros", len])
        )
    if draw(st.integers(0, 3)) == 0:
        base[draw(st.sampled_from(names))] = draw(numbers)
    if draw(st.booleans()):
        connectivity = draw(connectivities())
        if connectivity is not None:
            base["connectivity"] = connectivity
    if draw(st.integers(0, 2)) == 0:
        base["delays"] = draw(st.sampled_from(DELAYS))
    if draw(st.booleans()):
        base["projection"] = draw(st.sampled_from([*WAYS, *WAYS, "rows"]))
    given_ = options(draw, base) if draw(st.booleans()) else base
    module = attempt(lambda: cls(**given_))
    if module is None:
        return
    for _ in range(draw(st.integers(1, 2))):
        spikes = draw(SOUND | inputs((2,)))
        masked = attempt(lambda spikes=spikes: payloads.SpikeArray(spikes, draw(inputs())))
        spikes = spikes if masked is None else masked
        verb = draw(st.sampled_from([module, module.scan]))
        currents = attempt(lambda verb=verb, spikes=spikes: verb(spikes))
        assert currents is None or currents.dtype == module.config.dtype


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_delays(data):
    forget()
    draw = data.draw
    options = {"units": draw(st.sampled_from([None, None, 3, 3, (2, 2), -1, "3"]))}
    for name, values in (("dt", TIMES), ("dtype", [bool, *DTYPES]), ("batch", [(), (2,), (-1,)])):
        if draw(st.integers(0, 3)) == 0:
            options[name] = draw(st.sampled_from(values))
    shape, times_ = draw(st.just(3) | shapes), draw(st.sampled_from(DELAYS))
    module = attempt(lambda: synapses.Delays(shape, times_, **options))
    if module is None:
        return
    for _ in range(draw(st.integers(1, 2))):
        verb = draw(st.sampled_from([module, module.scan]))
        lead = (2,) if verb == module.scan else ()
        spikes = draw(st.just(np.ones((*lead, 3), bool)) | inputs(lead))
        late = attempt(lambda verb=verb, spikes=spikes: verb(spikes))
        assert late is None or late.async_spikes == (module.units is not None)


def test_every_synapse_is_tried():
    public = {getattr(synapses, name) for name in synapses.__all__}
    base = synapses.Synapses
    kinds = {each for each in public if isinstance(each, type) and issubclass(each, base)}
    assert kinds - {base} == set(SYNAPSES)


def test_every_tracer_is_tried():
    public = {getattr(tracers, name) for name in tracers.__all__}
    kinds = {each for each in public if isinstance(each, type) and issubclass(each, BaseTracer)}
    assert kinds - {BaseTracer} == set(TRACERS)


@pytest.mark.parametrize("error", [KeyError("x"), ZeroDivisionError()])
def test_other_errors_are_noticed(error):
    def broken():
        raise error

    with pytest.raises(type(error)):
        attempt(broken)

"""What payloads refuse, and what they say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spark.nn.payloads import CurrentArray, FloatArray, SpikeArray

MASK = np.array([True, False, False])
BOOLEAN = np.array([[True, False, True], [False, False, False], [True, True, False]])


def spikes(mask=MASK, async_spikes=False):
    return SpikeArray(BOOLEAN, mask, async_spikes)


@pytest.mark.parametrize(
    "operation",
    [
        lambda i: i + SpikeArray(MASK),
        lambda i: SpikeArray(MASK) + i,
        lambda i: i - SpikeArray(MASK),
        lambda i: i + FloatArray(1.0),
        lambda i: i * i,
        lambda i: i / i,
        lambda i: i + "1",
    ],
)
def test_currents_refuse_other_operands(operation):
    with pytest.raises(TypeError, match="unsupported operand"):
        operation(CurrentArray(jnp.ones(3)))


REFUSED = [
    (lambda: SpikeArray("on"), TypeError, "spikes must be boolean, integer or floating, got dtype"),
    (lambda: SpikeArray(None), TypeError, "spikes must be boolean, integer or floating"),
    (lambda: SpikeArray(np.ones(2, complex)), TypeError, "got dtype complex128"),
    (lambda: SpikeArray([[1], [1, 2]]), TypeError, "spikes must be an array of numbers"),
    (lambda: SpikeArray(spikes()), TypeError, "spikes must be an array, got SpikeArray"),
    (lambda: SpikeArray(jax.random.key(0)), TypeError, "got dtype key"),
    (lambda: SpikeArray(np.array([2**40])), ValueError, "spikes must fit in int32, got 10995"),
    (
        lambda: SpikeArray(BOOLEAN, np.ones(3)),
        TypeError,
        "inhibition_mask must be boolean, got dtype float",
    ),
    (
        lambda: SpikeArray(BOOLEAN, np.ones(2, bool)),
        ValueError,
        r"inhibition_mask of shape \(2,\) does not broadcast to shape \(3, 3\)",
    ),
    (
        lambda: SpikeArray(MASK, BOOLEAN),
        ValueError,
        r"inhibition_mask of shape \(3, 3\) does not broadcast to shape \(3,\)",
    ),
    (lambda: SpikeArray(MASK, None, 1), TypeError, "async_spikes must be a boolean, got 1"),
    (lambda: spikes()[3], IndexError, "index 3 is out of range for 3 steps"),
    (lambda: spikes()[0, 1], IndexError, "is indexed along its leading axis"),
    (lambda: SpikeArray(True)[0], IndexError, "has no axis to index"),
    (lambda: CurrentArray(np.ones(2, int)), TypeError, "value must be floating, got dtype int"),
    (lambda: FloatArray(True), TypeError, "value must be floating, got dtype bool"),
    (lambda: SpikeArray.from_times([1.0], [0], 2, dt=0), ValueError, "dt must be finite and > 0"),
    (
        lambda: SpikeArray.from_times([1.0], [0], 2, dt="a"),
        TypeError,
        "dt must be a number",
    ),
    (lambda: SpikeArray.from_times([1.0], [2], 2), ValueError, r"ids must lie in \[0, 2\).* got 2"),
    (lambda: SpikeArray.from_times([1.0], [-1], 2), ValueError, r"ids must lie in \[0, 2\)"),
    (lambda: SpikeArray.from_times([1.0], [0.0], 2), TypeError, "ids must be integers"),
    (
        lambda: SpikeArray.from_times([1.0], [0, 1], 2),
        ValueError,
        r"ids must have shape \(1,\), as times, got",
    ),
    (lambda: SpikeArray.from_times([[1.0]], [[0]], 2), ValueError, "times must have one axis"),
    (lambda: SpikeArray.from_times([1.0, 0.0], [0, 0], 2), ValueError, "> 0, got 0"),
    (
        lambda: SpikeArray.from_times([1.0, np.nan], [0, 1], 2),
        ValueError,
        "times must be finite and > 0, got nan of neuron 1",
    ),
    (lambda: SpikeArray.from_times([np.inf], [0], 2), ValueError, "> 0, got inf of neuron 0"),
    (
        lambda: SpikeArray.from_times([-0.5], [0], 2, closed="left"),
        ValueError,
        "times must be finite and >= 0, got -0.5 of neuron 0",
    ),
    (
        lambda: SpikeArray.from_times([9.0], [0], 2, duration=9.0, closed="left"),
        ValueError,
        r"times must lie in \[0, duration\) = \[0, 9\), got 9.0",
    ),
    (
        lambda: SpikeArray.from_times([1.0], [0], 2, closed="both"),
        ValueError,
        "closed must be one of 'right', 'left', got 'both'",
    ),
    (
        lambda: SpikeArray.from_times([1.0], [0], 2, tolerance=0.5),
        ValueError,
        r"tolerance must lie in \[0, 0.5\), as a fraction of dt, got 0.5",
    ),
    (lambda: spikes().to_times(closed="up"), ValueError, "closed must be one of"),
    (
        lambda: SpikeArray.from_times([1.0, 9.5], [0, 0], 2, duration=9.0),
        ValueError,
        r"times must lie in \(0, duration\] = \(0, 9\], got 9.5",
    ),
    (lambda: SpikeArray.from_times([1.0], [0], -2), ValueError, "no negative size, got -2"),
    (lambda: SpikeArray.from_times([1.0], [0], 2.5), TypeError, "shape must be an integer"),
    (
        lambda: SpikeArray.from_times([1.0, 2.2, 2.9], [0, 1, 1], 2),
        ValueError,
        "2 spikes of neuron 1 fall in step 2, which ends at 3; choose a dt shorter than 1, or "
        "graded=True",
    ),
    (lambda: spikes().T, AttributeError, r"a SpikeArray has no attribute 'T'; .*: \.value\.T\."),
    (
        lambda: CurrentArray([0.5]).vlaue,
        AttributeError,
        "a CurrentArray has no attribute 'vlaue'.$",
    ),
    (lambda: SpikeArray(True).to_times(), ValueError, "needs time as the leading axis"),
    (lambda: SpikeArray(np.array([0.5])).to_times(), ValueError, "booleans or counts.* got 0.5"),
    (
        lambda: jax.jit(lambda s: s.to_times())(spikes()),
        TypeError,
        "spikes must be concrete for to_times",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()

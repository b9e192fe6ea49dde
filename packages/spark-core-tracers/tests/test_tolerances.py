"""The table of how closely results agree: what is in it, and how it is read."""

import jax.numpy as jnp
import pytest

from spark.core.tracers.testing import AGREEMENTS, tolerance

every_agreement = pytest.mark.parametrize("name", AGREEMENTS)


@every_agreement
def test_a_gpu_is_never_expected_to_agree_more_closely(name):
    cpu, gpu = AGREEMENTS[name].cpu, AGREEMENTS[name].gpu
    assert cpu.by_dtype.keys() == gpu.by_dtype.keys()
    assert all(cpu.by_dtype[dtype] <= gpu.by_dtype[dtype] for dtype in cpu.by_dtype)
    assert cpu.why
    assert gpu.why


@every_agreement
def test_more_digits_agree_more_closely(name):
    parts = AGREEMENTS[name].cpu.by_dtype
    order = [parts[each] for each in ("float64", "float32", "float16", "bfloat16") if each in parts]
    assert order == sorted(order)


def test_a_tolerance_is_that_of_a_dtype_and_a_backend():
    assert tolerance("sum", "float32") == tolerance("sum", jnp.float32, "cpu") == 2.0**-24
    assert tolerance("parallel", "float16", "gpu") == 4 * 2.0**-10
    with pytest.raises(KeyError, match="float16"):
        tolerance("solution", "float16")

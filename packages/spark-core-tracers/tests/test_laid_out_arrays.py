"""Checkpoints of a module that lays its arrays out: saved in one layout, restored in another."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from spark.core import checkpoints


class Padded(nnx.Module):
    """Numbers, with zeros up to a length that depends on the layout."""

    def __init__(self, numbers, layout):
        self.layout, self.count = layout, len(numbers)
        self.numbers = nnx.Param(jnp.asarray([*numbers, *[0.0] * layout]))

    @property
    def described_arrays(self):
        """As if there were no zeros."""
        return {"numbers": f"float32[{self.count}]"}

    def relaid(self, arrays, layout):
        """With as many zeros as this one has."""
        numbers = arrays["numbers"]
        assert len(numbers) == self.count + layout
        return {"numbers": np.concatenate([numbers[: self.count], np.zeros(self.layout, "f4")])}


class Holder(nnx.Module):
    """A module with such a one in it."""

    def __init__(self, *arguments):
        self.inner, self.other = Padded(*arguments), nnx.Param(jnp.zeros(2))


@pytest.mark.parametrize("make", [Padded, Holder])
@pytest.mark.parametrize("layout", [0, 1, 3])
def test_arrays_are_restored_into_the_layout_of_the_module(tmp_path, make, layout):
    first, second = make([1.0, 2.0], 1), make([3.0, 4.0], layout)
    checkpoints.save(tmp_path, 1, first)
    assert checkpoints.restore(tmp_path, second) == 1
    numbers = (second if make is Padded else second.inner).numbers
    np.testing.assert_array_equal(numbers[...], [1.0, 2.0] + [0.0] * layout)


def test_what_differs_beyond_the_layout_is_refused(tmp_path):
    checkpoints.save(tmp_path, 1, Padded([1.0, 2.0], 1))
    with pytest.raises(checkpoints.CheckpointError, match=r"numbers: float32\[3\] in this module"):
        checkpoints.restore(tmp_path, Padded([1.0, 2.0, 3.0], 0))

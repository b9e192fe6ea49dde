"""A strict JAX for every test, and 64-bit types where a test asks for them."""

import pytest

try:
    import jax
except ImportError:  # what is checked of workflows and of what is built needs none
    jax = None
else:
    # Implicit promotions hide mistakes: none is allowed here.
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def x64():
    """64-bit types in JAX for one test."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)

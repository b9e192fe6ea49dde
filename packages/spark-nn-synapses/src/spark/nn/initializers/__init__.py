"""Kernels to start from: JAX's own, and sparse ones."""

from jax.nn.initializers import (
    Initializer,
    constant,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    lecun_normal,
    lecun_uniform,
    normal,
    ones,
    orthogonal,
    truncated_normal,
    uniform,
    variance_scaling,
    zeros,
)

from .config import KernelInitializer, KernelInitializerConfig
from .distributions import Distribution, LogNormal, Normal, Uniform
from .drawn import Drawn
from .sparse import sparse_normalized, sparse_uniform

__all__ = [
    "KernelInitializerConfig",
    "KernelInitializer",
    "Initializer",
    "Distribution",
    "Uniform",
    "Normal",
    "LogNormal",
    "Drawn",
    "sparse_uniform",
    "sparse_normalized",
    "constant",
    "zeros",
    "ones",
    "uniform",
    "normal",
    "truncated_normal",
    "variance_scaling",
    "lecun_uniform",
    "lecun_normal",
    "glorot_uniform",
    "glorot_normal",
    "he_uniform",
    "he_normal",
    "orthogonal",
]

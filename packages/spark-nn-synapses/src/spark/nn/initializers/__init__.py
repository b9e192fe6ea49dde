"""Kernels to start from: JAX's own, and sparse ones."""

"""Configurations to try: plain, with parameters, and nested."""

from typing import Literal

import numpy as np

from spark.nn.configs import Config, Dtype, Names, Parameter, Seed, TimeConstant, TimeStep, Units
from spark.nn.initializers import KernelInitializer, KernelInitializerConfig


class Plain(Config):
    units: Units
    fast: bool = False
    kernel_initializer: KernelInitializer = KernelInitializerConfig(name="sparse_uniform")
    dt: TimeStep = 1.0
    dtype: Dtype = "float16"
    seed: Seed = None


class Traced(Plain):
    tau: TimeConstant = 5.0
    scale: Parameter = 1.0
    integrator: Literal["exact", "euler"] = "exact"
    trainable: Names = ()


class Nested(Config):
    plain: Plain = Plain(units=2)
    other: Plain | None = None
    table: np.ndarray = np.zeros((0, 2), np.int8)
    sizes: tuple[tuple[int, ...], ...] = ()

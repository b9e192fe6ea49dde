"""`KernelInitializerConfig`: an initializer by name, so that it can be written to a file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import initializers
from jax.nn.initializers import Initializer
from jaxtyping import Array
from pydantic import ConfigDict, Field, PlainValidator, create_model

from spark.core.internal import compute_dtype, show

from ..configs import Config, ConfigError
from ..configs.errors import unknown
from ..configs.fields import as_parameter
from .distributions import Distribution, as_distribution
from .sparse import matrix_shape, sparse_normalized, sparse_uniform

_Real = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Probability = Annotated[float, Field(ge=0, le=1)]
_Mode = Literal["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]
_Distribution = Literal["truncated_normal", "normal", "uniform"]


class _Kind(NamedTuple):
    """A named initializer.

    Attributes:
        make: From parameters to an initializer of a matrix (targets, inputs).
        parameters: Its parameters.
    """

    make: Callable[..., Initializer]
    parameters: type[Config]


def _kind(
    name: str, factory: Callable[..., Initializer], fixed: Any = None, **types: Any
) -> tuple[str, _Kind]:
    """A kind from a factory, the arguments that a kernel fixes, and the types of the others."""
    defaults = {key: each.default for key, each in inspect.signature(factory).parameters.items()}
    required = inspect.Parameter.empty
    fields: dict[str, Any] = {
        key: (kind, ... if defaults[key] is required else defaults[key])
        for key, kind in types.items()
    }
    model = create_model(name, __base__=Config, __module__=__name__, **fields)
    return name, _Kind(lambda **parameters: factory(**parameters, **(fixed or {})), model)


def _truncated_normal(stddev: float = 1e-2, lower: float = -2.0, upper: float = 2.0) -> Initializer:
    if not lower < upper:
        raise ValueError(f"lower must be below upper, got {lower!r} and {upper!r}.")
    return initializers.truncated_normal(stddev, lower=lower, upper=upper)


# A kernel has its targets first, where JAX expects its inputs.
_FANS = {"in_axis": -1, "out_axis": -2}

_KINDS = dict(
    [
        _kind("sparse_uniform", sparse_uniform, density=_Probability, minimum=_Real, maximum=_Real),
        _kind("sparse_normalized", sparse_normalized, density=_Probability, total=_Real),
        _kind("constant", initializers.constant, value=_Real),
        _kind("zeros", lambda: initializers.zeros),
        _kind("ones", lambda: initializers.ones),
        _kind("uniform", initializers.uniform, scale=_Real),
        _kind("normal", initializers.normal, stddev=_Positive),
        _kind(
            "truncated_normal",
            _truncated_normal,
            stddev=_Positive,
            lower=_Real,
            upper=_Real,
        ),
        _kind(
            "variance_scaling",
            initializers.variance_scaling,
            _FANS,
            scale=_Positive,
            mode=_Mode,
            distribution=_Distribution,
        ),
        _kind("lecun_uniform", initializers.lecun_uniform, _FANS),
        _kind("lecun_normal", initializers.lecun_normal, _FANS),
        _kind("glorot_uniform", initializers.glorot_uniform, _FANS),
        _kind("glorot_normal", initializers.glorot_normal, _FANS),
        _kind("he_uniform", initializers.he_uniform, _FANS),
        _kind("he_normal", initializers.he_normal, _FANS),
        _kind("orthogonal", initializers.orthogonal, {"column_axis": -1}, scale=_Real),
    ]
)


class KernelInitializerConfig(Config):
    """An initializer by name, with its parameters.

    The names are those of this package: `sparse_uniform`, `sparse_normalized`, and JAX's
    `constant`, `zeros`, `ones`, `uniform`, `normal`, `truncated_normal`, `variance_scaling`,
    `lecun_*`, `glorot_*`, `he_*` and `orthogonal`. A parameter that is not given has the default of
    the initializer, and is kept.

    The kernel is filled as a matrix of targets by inputs, whatever the axes of either; "fan in" is
    the number of inputs of a target. Half precision is drawn in float32 and then rounded.

    Attributes:
        name: Which initializer.

    Raises:
        ConfigError: If there is no such initializer, or it has no such parameter; the message lists
            what there is.

    Example:
        >>> import jax
        >>> from spark.nn.initializers import KernelInitializerConfig
        >>> config = KernelInitializerConfig(name="sparse_normalized", density=0.1)
        >>> config
        KernelInitializerConfig(name='sparse_normalized', density=0.1, total=1.0)
        >>> kernel = config.make(target_axes=1)(jax.random.key(0), (2, 30, 30), "float32")
        >>> kernel.sum(axis=(1, 2)).round(3)
        Array([1., 1.], dtype=float32)
    """

    model_config = ConfigDict(extra="allow")

    name: str = "sparse_uniform"

    def __init__(self, *, name: str = "sparse_uniform", **parameters: Any) -> None:
        title = type(self).__name__
        if not isinstance(name, str):
            raise ConfigError(title, [f"name must be a string, got {show(name)}."])
        if name not in _KINDS:
            raise ConfigError(title, ["name: " + unknown(name, "initializer", list(_KINDS))])
        try:
            given = _KINDS[name].parameters(**parameters)
            _KINDS[name].make(**dict(given))
        except ConfigError as error:
            raise ConfigError(f"{title}(name={name!r})", error.problems) from None
        except ValueError as error:
            raise ConfigError(f"{title}(name={name!r})", [str(error)]) from None
        super().__init__(name=name, **dict(given))

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters by name."""
        return dict(self.model_extra or {})

    def make(self, target_axes: int = 1) -> Initializer:
        """The initializer itself.

        Args:
            target_axes: How many leading axes of a kernel belong to the targets; the others belong
                to the inputs.

        Returns:
            An initializer `(key, shape, dtype, out_sharding) -> kernel`.
        """
        fill = _KINDS[self.name].make(**self.parameters)

        def init(
            key: Array, shape: Any, dtype: Any = jnp.float32, out_sharding: Any = None
        ) -> Array:
            shape = tuple(shape)
            matrix = matrix_shape(shape, target_axes)
            if 0 in shape:
                return jnp.zeros(shape, dtype, out_sharding=out_sharding)
            # Half precision has too few digits for a probability or a sum.
            kernel = fill(key, matrix, compute_dtype(dtype)).astype(dtype)
            return jnp.reshape(kernel, shape, out_sharding=out_sharding)

        return init

    def __call__(
        self, key: Array, shape: Any, dtype: Any = jnp.float32, out_sharding: Any = None
    ) -> Array:
        """Fill a kernel with one target axis, as JAX's initializers are called."""
        return self.make()(key, shape, dtype, out_sharding)


def as_kernel_initializer(value: Any) -> Any:
    """A `KernelInitializerConfig`, a function, or an array of finite numbers."""
    if isinstance(value, (KernelInitializerConfig, Distribution)):
        return value
    if isinstance(value, Mapping):
        return as_distribution(value) if "kind" in value else KernelInitializerConfig(**value)
    if callable(value):
        name = getattr(value, "__name__", "")
        if name in _KINDS and value is getattr(initializers, name, None) and name not in _READY:
            raise ValueError(f"must be an initializer, got {name}, which makes one: call {name}().")
        return value
    what = "must be a KernelInitializerConfig, a function (key, shape, dtype) or an array"
    if isinstance(value, str):
        raise ValueError(f"{what}, got {value!r}; KernelInitializerConfig(name=...) takes a name.")
    try:
        kernel = as_parameter(value)
    except ValueError as error:
        raise ValueError(f"{what}; as an array it {error}") from None
    if not isinstance(kernel, np.ndarray):
        raise ValueError(
            f"{what}, got {show(value)}; "
            f"KernelInitializerConfig(name='constant', value={kernel:g}) fills a kernel."
        )
    return kernel


_READY = ("zeros", "ones")
"""Initializers as they stand, not functions that make one."""

KernelInitializer = Annotated[
    KernelInitializerConfig | Callable[..., Array] | np.ndarray[Any, Any] | jax.Array,
    PlainValidator(as_kernel_initializer),
]
"""A field for any of the three; of functions, only a `Distribution` can be written to a file."""

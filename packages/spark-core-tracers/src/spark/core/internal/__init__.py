"""The insides that sibling packages may use, and no others; not for users.

It may change with any minor version, which is why the siblings bound the version from above.
"""

from spark.core.tracers._arguments import (
    as_flag,
    as_indices,
    as_input,
    as_integer,
    as_key,
    as_names,
    as_row,
    as_seed,
    as_shape,
    is_key,
    is_real,
    one_of,
    own,
    real_array,
    require_fit,
    require_values,
    show,
)
from spark.core.tracers._assignment import CheckedModule
from spark.core.tracers._coefficients import longest_time_constant
from spark.core.tracers._dtypes import (
    as_dtype_name,
    as_storage_dtype,
    bound,
    compute_dtype,
    smallest,
)
from spark.core.tracers._maps import clip
from spark.core.tracers._parameters import as_parameter, require_base
from spark.core.tracers._rounding import mix, rounded_dtype
from spark.core.tracers._scan import METHODS, in_parallel
from spark.core.tracers._time import (
    CLOSED,
    as_dt,
    as_exact,
    as_length,
    as_tolerance,
    count_steps,
    epsilon,
    exact_number,
    snapped,
    step_of,
    steps_at,
)

__all__ = [
    # arguments
    "as_flag",
    "as_indices",
    "as_input",
    "as_integer",
    "as_key",
    "as_names",
    "as_row",
    "as_seed",
    "as_shape",
    "is_key",
    "is_real",
    "one_of",
    "own",
    "real_array",
    "require_fit",
    "require_values",
    "show",
    # times and steps
    "CLOSED",
    "as_dt",
    "as_exact",
    "as_length",
    "as_tolerance",
    "count_steps",
    "epsilon",
    "exact_number",
    "snapped",
    "step_of",
    "steps_at",
    # dtypes
    "as_dtype_name",
    "as_storage_dtype",
    "bound",
    "compute_dtype",
    "rounded_dtype",
    "smallest",
    # parameters and modules
    "CheckedModule",
    "as_parameter",
    "longest_time_constant",
    "require_base",
    # recurrences
    "METHODS",
    "in_parallel",
    "clip",
    "mix",
]

"""Parts that go together, compared with NumPy: `python together.py cases`, in JSON.

On 4 virtual devices of one process; partitions cut over 2 of them, or 2 x 2. Prints how many it
compared.
"""

import json
import os
import sys
from pathlib import Path


def main(text):
    """Compare all cases."""
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    sys.path.insert(0, str(Path(__file__).parents[1]))
    cases = json.loads(text)
    for case in cases:
        try:
            compare(case)
        except BaseException:
            print(case, file=sys.stderr)
            raise
    print(f"{len(cases)} equal")


def compare(case):
    """Kernel, connections and currents; what comes after a length goes on from there."""
    import jax.numpy as jnp
    import numpy as np
    from tests.combinations import TIME, make
    from tests.comparing import by_steps
    from tests.kinds import spikes
    from tests.one_by_one import currents

    from spark.core.tracers.testing import tolerance

    module = one = make(case)
    if case["partition"] != "none":
        one = make({**case, "partition": "none"})
    np.testing.assert_array_equal(module.kernel, one.kernel)
    for found, expected in zip(module.connections, one.connections, strict=True):
        np.testing.assert_array_equal(found, expected)
    xs = spikes(4, (TIME, *module.batch, *module.matrix.spikes_shape), 0.4)
    if case["run"] == "scan with lengths":
        found, expected = with_lengths(case, module, one, xs)
    else:
        found = by_steps(module, xs) if case["run"] == "calls" else np.asarray(module.scan(xs))
        expected = currents(case, one, xs)
    close = {"rtol": tolerance("currents", "float64"), "atol": tolerance("currents", "float64")}
    if case["dtype"] == "float16":  # each stage is rounded at each step, by less than a spacing
        half = 2 * TIME * float(jnp.finfo("float16").eps)
        close = {"rtol": 0, "atol": half * max(1, np.abs(expected).max())}
    np.testing.assert_allclose(found, expected, **close)


def with_lengths(case, module, one, xs):
    """Currents of entries that end early, and go on afterwards; and the same in NumPy."""
    import numpy as np
    from tests.combinations import TIME
    from tests.one_by_one import currents

    lengths = np.array([TIME // 2, 3]) if module.batch else np.array(TIME // 2)
    found = [module.scan(xs, lengths=lengths).value, module.scan(xs).value]
    expected = []
    for entry, length in enumerate(lengths.reshape(-1)):
        full = currents(case, one, np.concatenate([xs[:length], xs]))
        silent = np.zeros((TIME - length, *full.shape[1:]))
        full = np.concatenate([full[:length], silent, full[length:]])
        expected.append(full[:, entry] if module.batch else full)
    return np.concatenate(found), np.stack(expected, 1) if module.batch else expected[0]


if __name__ == "__main__":
    main(*sys.argv[1:])

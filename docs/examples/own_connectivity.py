"""A ring: each input reaches the targets around its own place."""

from typing import Literal

import numpy as np

from spark.nn.components.synapses import Connections, Connectivity, stored_rows


class RingConnectivity(Connectivity):
    """Connections between neighbours on a ring, across its end too.

    Attributes:
        radius: How far away the last target is, in targets.
    """

    kind: Literal["ring"] = "ring"
    radius: int

    def connect(self, inputs, targets, key):
        if not 0 <= 2 * self.radius < targets:
            raise ValueError(
                f"radius must be from 0 to less than half of the {targets} "
                f"targets, got {self.radius}."
            )
        offsets = np.arange(-self.radius, self.radius + 1)
        places = np.arange(inputs)[:, None] * targets // inputs
        post = np.sort((places + offsets) % targets, axis=1)
        pre = np.repeat(np.arange(inputs), len(offsets))
        rows = stored_rows(pre, post.reshape(-1), inputs, targets)
        return Connections(*rows)

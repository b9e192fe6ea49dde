"""Where there is a spike."""

import numpy as np

from spark.nn.components.synapses._projections.spiking import active


def test_every_number_but_0_is_an_active_spike():
    graded = np.array([0.5, -2.0, np.nan, -0.0, 0.0])
    assert active(graded).tolist() == [True, True, True, False, False]
    assert active(np.array([True, False])).tolist() == [True, False]

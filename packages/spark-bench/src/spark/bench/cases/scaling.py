"""Synapses sharded over devices by target: strong and weak scaling."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import jax
import numpy as np
from jax.sharding import Mesh

from spark.nn.components.synapses import InputSpec, Partition, TracedSynapses

from ..case import Case, Counts, Program
from .tracers import RATE, spikes

DEVICES = (1, 2, 4)

SIZE = 2048
"""Inputs, and targets: of all devices together (strong) or of each (weak)."""

STEPS = 200


def cases() -> Iterator[Case]:
    """Strong and weak scaling, each beside one device."""
    for scaling in ("strong", "weak"):
        for devices in DEVICES:
            targets = SIZE if scaling == "strong" else SIZE * devices
            events = round(RATE * SIZE) * targets * STEPS
            yield Case(
                f"scaling/{scaling}/{devices}",
                functools.partial(_run, targets, devices),
                Counts(element_updates=targets * STEPS, synaptic_events=events, flop=2 * events),
                {"pre": SIZE, "elements": targets, "steps": STEPS, "devices": devices},
                ("synapses", "scaling", "float32"),
                f"scaling/{scaling}",
                reference=devices == 1,
                devices=devices,
            )


def _run(targets: int, devices: int) -> Program:
    """A whole sequence; each device holds the weights and the traces of its targets."""
    mesh = Mesh(np.array(jax.devices()[:devices]), ("targets",))
    partition = Partition(mesh, targets="targets")
    synapses = TracedSynapses(units=(targets,), tau=5.0, dtype="float32")
    synapses.build({"spikes": InputSpec((SIZE,))}, partition=partition)
    # Every device reads all spikes.
    xs = jax.block_until_ready(jax.device_put(spikes((STEPS, SIZE)), partition.sharding(())))
    return lambda: synapses.scan(xs).value

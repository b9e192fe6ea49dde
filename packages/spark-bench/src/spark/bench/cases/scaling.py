"""Synapses sharded over devices by target: strong and weak scaling."""

from __future__ import annotations

import functools
import math
import re
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
                observe=functools.partial(_received, targets, devices),
            )


def _run(targets: int, devices: int) -> Program:
    """A whole sequence; each device holds the weights and the traces of its targets."""
    synapses, partition = _synapses(targets, devices)
    # Every device reads all spikes.
    xs = jax.block_until_ready(jax.device_put(spikes((STEPS, SIZE)), partition.sharding(())))
    return lambda: synapses.scan(xs).value


def _received(targets: int, devices: int) -> dict[str, float]:
    """Bytes that a device receives in a step of a network, where spikes are where they arise."""
    synapses, partition = _synapses(targets, devices)
    assert synapses.chain is not None
    xs = jax.ShapeDtypeStruct((SIZE,), bool, sharding=partition.sharding(("targets",)))
    step = jax.jit(synapses.chain.step).lower(synapses.parameters, synapses.state, xs)
    return {"received_bytes": received_bytes(step.compile().as_text() or "", devices)}


def received_bytes(program: str, devices: int) -> float:
    """Bytes that each device receives from others, by the collectives of a compiled program.

    An all-gather of `n` bytes takes `n (d - 1)/d` of them, and an all-reduce in a ring twice as
    many.

    Args:
        program: Text of the program.
        devices: Number of devices `d`.

    Raises:
        ValueError: If there is another collective, whose share is not known here.
    """
    total = 0.0
    for dtype, shape, kind in re.findall(
        r"= (\w+)\[([\d,]*)\]\S* (all-\w+|reduce-scatter|collective-\w+)\(", program
    ):
        if kind not in ("all-gather", "all-reduce"):
            raise ValueError(f"program must have all-gather and all-reduce alone, got {kind}.")
        width = 1 if dtype == "pred" else int(dtype.lstrip("bfsuc")) // 8
        size = width * math.prod(int(each) for each in shape.split(",") if each)
        total += size * (devices - 1) / devices * (1 if kind == "all-gather" else 2)
    return total


def _synapses(targets: int, devices: int) -> tuple[TracedSynapses, Partition]:
    mesh = Mesh(np.array(jax.devices()[:devices]), ("targets",))
    partition = Partition(mesh, targets="targets")
    synapses = TracedSynapses(units=(targets,), tau=5.0, dtype="float32")
    synapses.build({"spikes": InputSpec((SIZE,))}, partition=partition)
    return synapses, partition

"""Everything together: synapses by one value of each factor.

`refused()` finds the smallest combinations that are refused. `table()` and `parts()` write these
and the factors, as `docs/explanation/together.md` shows them.
"""

import functools
import itertools
import re
import textwrap

import jax
import numpy as np
from jax.sharding import Mesh

from spark.nn.components import synapses as library

from .covering import all_pairs

INPUTS, UNITS, TIME = 4, 6, 12
PRE, POST = np.array([[0, 0, 1, 3, 3, 3], [5, 0, 1, 1, 0, 4]])

FACTORS = {
    "connectivity": ["dense", "one length", "many lengths", "blocks", "procedural"],
    "delays": ["none", "of inputs", "of connections"],
    "class": ["Linear", "Traced", "DoubleTraced", "RUTraced", "SaturatingTraced"],
    "tau": [
        "scalar",
        "of targets",
        "of inputs",
        "of connections",
        "of inputs and trained",
        "of connections and trained",
        "of both and trained",
    ],
    "scale": ["scalar", "drawn", "drawn and trained"],
    "batch": ["none", "some"],
    "async_spikes": ["no", "yes"],
    "partition": ["none", "targets", "inputs", "targets and inputs", "batch"],
    "dtype": ["float64", "float16"],
    "run": ["calls", "scan", "scan with lengths"],
}

# What an error says, and why; in the order of the page.
REASONS = {
    "procedural connections are not stored": "Procedural connections store nothing, so that none "
    "of them can have a number, a trace or a spike of its own.",
    "async_spikes|a gate belongs|must not name tau": "Delays, release and gate belong to an input "
    "and act once for all of its connections. So they cannot follow spikes of single connections, "
    "and the time constant of a gate is that of its input.",
}


# Every three values of these meet in a case that is compared; of the others, every two.
FEATURES = ["connectivity", "delays", "class", "tau", "async_spikes"]


def makes_sense(case):
    """Whether a case, which may lack factors, has all that its values speak of."""
    kind, scale = case.get("class", "DoubleTraced"), case.get("scale", "scalar")
    if kind == "Linear" and (case.get("tau", "scalar"), scale) != ("scalar", "scalar"):
        return False
    if kind != "DoubleTraced" and case.get("tau") == "of both and trained" and scale != "scalar":
        return False  # has given the scale to the targets
    return not (case.get("partition") == "batch" and case.get("batch", "some") == "none")


def shared(seed):
    return np.random.default_rng(seed)


def taus(name):
    """Time constants by the name of their shape, without what is trained."""
    return {
        "scalar": 5.0,
        "of targets": shared(0).uniform(3, 9, UNITS),
        "of inputs": np.array([[4.0, 9.0, 4.0, 9.0]]),
        "of connections": shared(1).uniform(3, 9, (UNITS, INPUTS)),
    }[name.removesuffix(" and trained").replace("both", "inputs")]


def second(case):
    """The other time constant, or the scale of a class that has one; of targets beside both."""
    if case["tau"] == "of both and trained":
        return shared(3).uniform(10, 14, UNITS)
    return 12.0 if case["class"] == "DoubleTraced" else 1.0


def connected(case, rng):
    """The connectivity of a case, and its delays if it draws them."""
    late = case["delays"] == "of connections"
    delays = library.Uniform(low=0.0, high=4.0) if late else None
    name = case["connectivity"]
    if name == "procedural":
        return library.ProceduralConnectivity(fan_out=2, delays=delays)
    if name == "blocks":
        block = functools.partial(
            library.Block, weights=library.Normal(mean=1.0, std=0.5), delays=delays
        )
        rules = library.FixedFanOut(fan_out=2), library.FixedInDegree(in_degree=1)
        halves = (0, INPUTS // 2), (INPUTS // 2, INPUTS)
        blocks = [block(rule=rule, pre=half) for rule, half in zip(rules, halves, strict=True)]
        return library.BlockConnectivity(blocks=blocks)
    if name == "one length":
        return library.FixedFanOut(fan_out=2)
    return library.SparseConnectivity(pre=PRE, post=POST, weights=rng.normal(size=len(PRE)))


def make(case):
    """Synapses as a case says, built.

    Raises:
        ValueError: If they are refused.
    """
    rng, kind = shared(2), case["class"]
    options = {"async_spikes": case["async_spikes"] == "yes", "dtype": case["dtype"]}
    if kind != "Linear":
        names = ("tau_1", "tau_2") if kind == "DoubleTraced" else ("tau", "scale")
        options |= dict(zip(names, (taus(case["tau"]), second(case)), strict=True))
        trained = names[: 2 if np.ndim(second(case)) else 1] if "trained" in case["tau"] else ()
        if case["scale"] != "scalar":
            scale = "scale_1" if kind == "DoubleTraced" else "scale"
            spread = library.Uniform(low=0.5, high=2.0)
            options[scale] = library.Drawn(distribution=spread, per="connection")
            trained += (scale,) if "trained" in case["scale"] else ()
        options["trainable"] = trained
    if case["delays"] == "of inputs":
        options["delays"] = np.array([0.0, 2.0, 1.0, 5.0])
    elif case["delays"] == "of connections" and case["connectivity"] not in (
        "blocks",
        "procedural",
    ):
        options["delays"] = 1.0 * rng.integers(0, 5, (UNITS, INPUTS))
    if case["connectivity"] == "dense":
        options["kernel_initializer"] = rng.normal(size=(UNITS, INPUTS))
    else:
        options["connectivity"] = connected(case, rng)
    module = getattr(library, f"{kind}Synapses")(units=UNITS, **options)
    each = options["async_spikes"] and case["connectivity"] == "dense"
    shape = (UNITS, INPUTS) if each else (INPUTS,)
    batch = (2,) if case["batch"] == "some" else ()
    partition = None
    if case["partition"] != "none":
        axes = case["partition"].split(" and ")
        each = 2 if jax.device_count() >= 4 else 1
        devices = jax.devices()[: each ** len(axes)]
        mesh = Mesh(np.array(devices).reshape([each] * len(axes)), tuple(axes))
        partition = library.Partition(mesh, **{axis: axis for axis in axes})
    spec = library.InputSpec(shape, options["async_spikes"], batch)
    module.build({"spikes": spec}, partition=partition)
    return module


def refusal(case):
    """Why a case is refused, as a key of `REASONS`; None if it is not."""
    try:
        make(case)
    except ValueError as error:
        found = [reason for reason in REASONS if re.search(reason, str(error))]
        if len(found) != 1:
            raise AssertionError(f"{case} is refused for no known reason: {error}") from error
        return found[0]
    return None


@functools.cache
def refused():
    """The smallest combinations that are refused, of up to three factors, with the reason.

    Other factors have a value that goes with all others.
    """
    base = {name: values[0] for name, values in FACTORS.items()}
    base |= {"class": "Traced", "batch": "some"}
    found, built = {}, [name for name in FACTORS if name != "run"]
    for size in (1, 2, 3):
        for names in itertools.combinations(built, size):
            for values in itertools.product(*(FACTORS[name] for name in names)):
                some = dict(zip(names, values, strict=True))
                case = {**base, **some}
                # What is as in the base adds nothing; what holds a smaller one, neither.
                if any(base[name] == value for name, value in some.items()):
                    continue
                if not makes_sense(case) or is_refused(some, found):
                    continue
                reason = refusal(case)
                if reason is not None:
                    found[tuple(some.items())] = reason
    return found


def is_refused(case, found):
    """Whether a case holds one of the combinations."""
    return any(set(each) <= set(case.items()) for each in found)


def works(case):
    """Whether a case makes sense and is not refused."""
    return makes_sense(case) and not is_refused(case, refused())


@functools.cache
def all_that_work():
    """Cases in which all pairs of values meet that work together, and all triples of features."""
    return all_pairs(FACTORS, works, FEATURES)


def table(found):
    """The combinations as a table, those merged that differ in the value of one factor."""
    rows = [({name: [value] for name, value in each}, why) for each, why in found.items()]
    merged = True
    while merged:
        merged = False
        for (i, (one, why)), (j, (two, also)) in itertools.combinations(enumerate(rows), 2):
            if why == also and one.keys() == two.keys():
                differ = [name for name in one if one[name] != two[name]]
                if len(differ) == 1:
                    (name,) = differ
                    one = {**one, name: [*one[name], *two[name]]}
                    rows = [row for k, row in enumerate(rows) if k not in (i, j)]
                    rows.insert(i, (one, why))
                    merged = True
                    break
    order = list(REASONS)
    rows.sort(key=lambda row: order.index(row[1]))
    lines = ["| refused together | | | why |", "|---|---|---|---|"]
    for some, why in rows:
        parts = [f"**{name}**: {' / '.join(values)}" for name, values in some.items()]
        parts += [""] * (3 - len(parts))
        lines.append(f"| {' | '.join(parts)} | {order.index(why) + 1} |")
    reasons = [
        textwrap.fill(f"{number}. {text}", 120, subsequent_indent="   ")
        for number, text in enumerate(REASONS.values(), 1)
    ]
    return "\n".join([*lines, "", *reasons])


def parts():
    """The factors and their values as a table."""
    rows = [f"| {name} | {', '.join(values)} |" for name, values in FACTORS.items()]
    return "\n".join(["| part | values |", "|---|---|", *rows])

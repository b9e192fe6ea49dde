"""Rules between parts of the inputs and of the targets, with weights and delays: their laws.

Where a test is statistical, a correct program fails once in a million runs; seeds are fixed.
"""

import jax
import numpy as np
import pytest
from scipy import stats

from spark.nn.components.synapses import (
    AllToAll,
    Block,
    BlockConnectivity,
    FixedFanOut,
    FixedInDegree,
    FixedTotal,
    LinearSynapsesConfig,
    LogNormal,
    Normal,
    OneToOne,
    RandomConnectivity,
    Uniform,
)
from spark.nn.configs import ConfigError

from .connected import built, pairs

UNLIKELY = 1e-6


def one(rule, pre=None, post=None, **options):
    """The connectivity of a single block."""
    return BlockConnectivity(blocks=[Block(rule=rule, pre=pre, post=post, **options)])


def matrix_of(connectivity, inputs, targets, seed=0):
    """How often each input and target are connected."""
    pre, post = pairs(connectivity, inputs, targets, seed)
    return np.bincount(pre * targets + post, minlength=inputs * targets).reshape(inputs, targets)


def assert_as_spread(counts, mean, variance):
    """As counts of this mean and variance are, neither more nor less."""
    spread = np.sum((counts - mean) ** 2) / variance
    tail = stats.chi2(counts.size - 1)
    assert min(tail.cdf(spread), tail.sf(spread)) > UNLIKELY


RULES = [
    OneToOne(),
    AllToAll(),
    AllToAll(autapses=False),
    RandomConnectivity(probability=0.3),
    RandomConnectivity(probability=0.8, autapses=False),
    FixedInDegree(in_degree=3),
    FixedInDegree(in_degree=16, autapses=False),
    FixedInDegree(in_degree=40, multapses=True, autapses=False),
    FixedFanOut(fan_out=3, autapses=False),
    FixedFanOut(fan_out=40, multapses=True),
    FixedTotal(connections=100, autapses=False),
    FixedTotal(connections=300),
    FixedTotal(connections=1000, autapses=False, multapses=True),
]
every_rule = pytest.mark.parametrize("rule", RULES, ids=str)


@every_rule
def test_a_rule_keeps_to_its_part_and_its_flags(rule):
    found = matrix_of(one(rule, (5, 25), (10, 30)), 40, 50)
    assert found.sum() == found[5:25, 10:30].sum() > 0
    if not getattr(rule, "multapses", False):
        assert found.max() == 1
    if not getattr(rule, "autapses", True):
        assert np.trace(found[:40, :40]) == 0  # the same number in the whole, not in the part
    if isinstance(rule, FixedInDegree):
        np.testing.assert_array_equal(found.sum(0)[10:30], rule.in_degree)
    if isinstance(rule, FixedFanOut):
        np.testing.assert_array_equal(found.sum(1)[5:25], rule.fan_out)
    if isinstance(rule, FixedTotal):
        assert found.sum() == rule.connections


@every_rule
def test_a_rule_alone_is_that_of_one_block(rule):
    alone, block = pairs(rule, 50, 50), pairs(one(rule), 50, 50)
    for ours, theirs in zip(alone, block, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@every_rule
def test_a_file_keeps_blocks(rule, tmp_path):
    connectivity = one(rule, (5, 25), None, weights=Normal(mean=1.0, std=0.1, low=0.0), delays=1.5)
    config = LinearSynapsesConfig(units=3, connectivity=connectivity)
    config.to_file(tmp_path / "config.json")
    read = LinearSynapsesConfig.from_file(tmp_path / "config.json")
    assert read == config
    assert read.connectivity.blocks[0].rule == rule


def test_one_to_one_is_the_diagonal_and_all_to_all_is_full():
    np.testing.assert_array_equal(
        matrix_of(one(OneToOne(), (2, 5), (0, 3)), 6, 4), np.eye(6, 4, -2) * (np.arange(4) < 3)
    )
    np.testing.assert_array_equal(matrix_of(AllToAll(autapses=False), 3, 5), 1 - np.eye(3, 5))


@pytest.mark.parametrize("multapses", [False, True])
@pytest.mark.parametrize("degree", [4, 30])
def test_partners_of_a_fixed_degree_are_uniform(degree, multapses):
    rules = (
        FixedInDegree(in_degree=degree, multapses=multapses),
        FixedFanOut(fan_out=degree, multapses=multapses),
    )
    for axis, rule in enumerate(rules):
        found = [matrix_of(rule, 40, 40, seed) for seed in range(50)]
        counts = np.sum(found, axis=0).sum(1 - axis)
        chance = degree / 40
        # Without replacement, counts are less spread than multinomial ones.
        variance = 50 * 40 * chance * ((1 - 1 / 40) if multapses else (1 - chance))
        assert_as_spread(counts, 50 * 40 * chance, variance * 40 / 39)


@pytest.mark.parametrize("multapses", [False, True])
def test_all_pairs_of_a_fixed_total_are_as_likely(multapses):
    rule = FixedTotal(connections=90, multapses=multapses, autapses=False)
    found = np.sum([matrix_of(rule, 12, 15, seed) for seed in range(400)], axis=0)
    allowed = ~np.eye(12, 15, dtype=bool)
    chance = 90 / allowed.sum()
    variance = 400 * chance * ((1 - 1 / allowed.sum()) if multapses else (1 - chance))
    size = allowed.sum()
    assert_as_spread(found[allowed], 400 * chance, variance * size / (size - 1))


def test_degrees_of_a_fixed_total_are_multinomial():
    found = matrix_of(FixedTotal(connections=200_000, multapses=True), 300, 400)
    for axis in (0, 1):
        assert UNLIKELY < stats.chisquare(found.sum(axis)).pvalue < 1 - UNLIKELY
    # Two connections to one pair are as frequent as chance has it: Poisson.
    counts = np.bincount(found.ravel(), minlength=8)[:8]
    expected = stats.poisson(200_000 / 120_000).pmf(np.arange(8)) * 120_000
    assert stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > UNLIKELY


def test_degrees_without_autapses_are_binomial_over_the_others():
    rule = RandomConnectivity(probability=0.4, autapses=False)
    found = matrix_of(rule, 500, 500)
    for axis in (0, 1):
        assert_as_spread(found.sum(axis), 499 * 0.4, 499 * 0.4 * 0.6)


LAWS = [
    (Uniform(low=-2.0, high=3.0), stats.uniform(-2, 5)),
    (Normal(mean=1.0, std=2.0), stats.norm(1, 2)),
    (Normal(mean=1.0, std=2.0, low=0.0), stats.truncnorm(-0.5, np.inf, 1, 2)),
    (Normal(mean=1.0, std=2.0, low=8.0), stats.truncnorm(3.5, np.inf, 1, 2)),
    (Normal(mean=1.0, std=2.0, low=-5.0, high=-4.0), stats.truncnorm(-3, -2.5, 1, 2)),
    (LogNormal(mean=0.5, std=0.7), stats.lognorm(0.7, scale=np.exp(0.5))),
]


@pytest.mark.parametrize(("law", "expected"), LAWS, ids=lambda each: str(each)[:40])
def test_weights_follow_their_law(law, expected):
    module = built(one(FixedInDegree(in_degree=50), weights=law), 100, 400)
    weights = np.asarray(module.kernel, np.float64)
    assert stats.kstest(weights, expected.cdf).pvalue > UNLIKELY
    # Moments: the mean within five standard errors of it.
    assert abs(weights.mean() - expected.mean()) < 5 * expected.std() / np.sqrt(len(weights))
    pre, post = map(np.asarray, module.connections)
    for other in (pre, post, np.roll(weights, 1)):
        assert abs(np.corrcoef(weights, other)[0, 1]) < 5 / np.sqrt(len(weights))
    # As an initializer, the same law.
    draws = np.asarray(law(jax.random.key(1), (20_000,)), np.float64)
    assert stats.kstest(draws, expected.cdf).pvalue > UNLIKELY


def test_a_distribution_is_an_initializer_that_a_file_keeps():
    law = Normal(mean=3.0, std=0.5, low=2.0)
    config = LinearSynapsesConfig(units=3, kernel_initializer=law)
    assert LinearSynapsesConfig.from_dict(config.to_dict()) == config
    for connectivity in ("dense", FixedFanOut(fan_out=100)):
        module = built(connectivity, 100, 200, kernel_initializer=law)
        weights = np.asarray(module.kernel, np.float64).ravel()
        expected = stats.truncnorm(-2, np.inf, 3, 0.5)
        assert stats.kstest(weights, expected.cdf).pvalue > UNLIKELY


def test_draws_outside_of_the_bounds_are_clipped_to_them():
    law = Normal(mean=0.0, std=1.0, low=-1.0, high=0.5, at_bounds="clip")
    weights = np.asarray(built(one(AllToAll(), weights=law), 100, 100).kernel)
    for bound, chance in ((-1.0, stats.norm.cdf(-1)), (0.5, stats.norm.sf(0.5))):
        assert stats.binomtest(int((weights == bound).sum()), 10_000, chance).pvalue > UNLIKELY
    inside = weights[(weights > -1) & (weights < 0.5)]
    expected = stats.truncnorm(-1, 0.5)
    assert stats.kstest(inside.astype(np.float64), expected.cdf).pvalue > UNLIKELY


def test_delays_are_rounded_to_the_nearest_step():
    connectivity = one(AllToAll(), delays=Normal(mean=1.5, std=0.75, low=0.05), weights=1.0)
    module = built(connectivity, 100, 100, dt=0.1)
    rows, (_, places) = module.matrix.rows, (each.get_value() for each in module.matrix.adjacency)
    counts = np.bincount(np.asarray(places, np.int64) // 100, minlength=rows.steps)
    assert rows.steps == len(counts)
    assert counts[0] == 0
    law = stats.truncnorm((0.05 - 1.5) / 0.75, np.inf, 1.5, 0.75)
    edges = 0.1 * (np.arange(rows.steps + 1) - 0.5)
    expected = 10_000 * np.append(np.diff(law.cdf(edges[:-1])), law.sf(edges[-2]))
    # Classes of five at least.
    many = expected >= 5
    assert (
        stats.chisquare(
            np.append(counts[many], counts[~many].sum()),
            np.append(expected[many], expected[~many].sum()),
        ).pvalue
        > UNLIKELY
    )


def test_a_spike_arrives_after_its_delay_with_its_weight():
    connectivity = BlockConnectivity(
        blocks=[
            Block(rule=OneToOne(), pre=(0, 2), post=(1, 3), weights=2.0, delays=3),
            Block(rule=AllToAll(), pre=(2, 3), weights=-1.0),
        ]
    )
    module = built(connectivity, 3, 3)
    train = np.zeros((5, 3), bool)
    train[0] = True
    expected = np.zeros((5, 3))
    expected[0], expected[3] = -1, [0, 2, 2]
    np.testing.assert_array_equal(module.scan(train), expected)


def test_blocks_draw_differently_and_do_not_disturb_each_other():
    rule = FixedFanOut(fan_out=5)
    parts = [((0, 20), (0, 30)), ((20, 40), (30, 60))]
    both = BlockConnectivity(blocks=[Block(rule=rule, pre=pre, post=post) for pre, post in parts])
    found = matrix_of(both, 40, 60)
    assert np.any(found[:20, :30] != found[20:, 30:])
    first = matrix_of(one(rule, *parts[0]), 40, 60)
    np.testing.assert_array_equal(first[:20], found[:20])


REFUSED = [
    (lambda: Block(rule="all"), "rule must be one of OneToOne, AllToAll"),
    (lambda: Block(rule={"kind": "procedural", "fan_out": 2}), "rule must be one of"),
    (lambda: Block(rule=OneToOne(), pre=(3, 3)), r"pre must be \(start, stop\) with 0 <= start"),
    (lambda: Block(rule=OneToOne(), post=(0.5, 3)), r"post must be \(start, stop\)"),
    (lambda: Block(rule=OneToOne(), weights=[1.0]), "weights must be a finite number or one of"),
    (lambda: Block(rule=OneToOne(), delays=-1.0), "delays must be 0 or more, got -1.0"),
    (lambda: Block(rule=OneToOne(), delays=Normal(mean=1.0, std=1.0)), "delays must be 0 or more"),
    (lambda: BlockConnectivity(blocks=[]), "blocks must be a sequence of one Block or more"),
    (
        lambda: BlockConnectivity(
            blocks=[Block(rule=OneToOne(), weights=1.0), Block(rule=OneToOne())]
        ),
        r"blocks must all have weights, or none; there are none in blocks\[1\]",
    ),
    (lambda: Uniform(low=1.0, high=0.0), "low must be at most high, got 1 and 0"),
    (lambda: Normal(mean=0.0, std=-1.0), "std must be greater than or equal to 0"),
    (lambda: Normal(mean=0.0, std=1.0, low=9.0), "low and high must leave at least 1e-09"),
    (lambda: LogNormal(mean=0.0, std=1.0, high=0.0), "high must be > 0"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_invalid_blocks_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


MISFITS = [
    (one(OneToOne(), (0, 6)), r"blocks\[0\]: pre must end at 5 at most, the number of inputs"),
    (one(OneToOne(), None, (2, 4)), r"post must end at 3 at most, the number of targets"),
    (one(OneToOne()), "OneToOne must connect as many inputs as targets, got 5 inputs and 3"),
    (FixedInDegree(in_degree=6), "in_degree must be at most 5, the number of inputs; got 6: multa"),
    (
        FixedInDegree(in_degree=5, autapses=False),
        "in_degree must be at most 4, the number of inputs but for that of the same number; got 5",
    ),
    (
        one(FixedInDegree(in_degree=1, autapses=False, multapses=True), (1, 2)),
        "in_degree must be at most 0",
    ),
    (FixedTotal(connections=16), "connections must be at most 15, the number of pairs"),
    (one(AllToAll(), delays=0.5), r"blocks\[0\]: delays must be whole multiples of dt = 1"),
    (one(AllToAll(), weights=1e-9), r"weights must be 0 or at least 5.96e-08 in float16"),
    (one(AllToAll(), weights=Uniform(low=0.0, high=1e-9)), r"blocks\[0\]: weights must be 0 or"),
    (one(AllToAll(), weights=-1e9), r"blocks\[0\]: weights must be at most 65504 in float16"),
    (one(AllToAll(), weights=Normal(mean=7e4, std=1e3)), r"blocks\[0\]: .* 65504 .*got 7.13e\+04"),
]


@pytest.mark.parametrize(("connectivity", "message"), MISFITS)
def test_blocks_that_do_not_fit_the_inputs_and_targets_are_refused(connectivity, message):
    with pytest.raises(ValueError, match=message):
        built(connectivity, 5, 3, kernel_dtype="float16")

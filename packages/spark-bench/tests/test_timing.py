import time

import jax
import jax.numpy as jnp
import pytest

from spark.bench import Case
from spark.bench.memory import peak_of
from spark.bench.timing import Protocol, measure


def sleeping(name, duration, log, **kwargs):
    def setup():
        log.append(f"setup {name}")

        def program():
            log.append(name)
            time.sleep(duration)
            return jnp.zeros(())

        return program

    return Case(name, setup, **kwargs)


def test_programs_take_turns_after_their_warm_up():
    log = []
    cases = [sleeping(name, 0.002, log) for name in "ab"]
    found = measure(cases, Protocol(rounds=3, warmups=2, shortest=1e-6))
    # The first call, the one whose memory is measured, the one that calibrates; then turns.
    assert log[:8] == ["setup a", "a", "a", "a", "setup b", "b", "b", "b"]
    assert log[8:] == ["a", "b"] * 5
    for timing in found:
        assert len(timing.values) == 3
        assert len(timing.warmups) == 2
        # A sleep never ends early; no upper bound, which a busy machine would break.
        assert min(timing.values) >= 0.002


def test_short_programs_are_repeated_up_to_the_shortest_duration():
    (found,) = measure([sleeping("a", 0.001, [])], Protocol(rounds=1, warmups=0, shortest=0.02))
    assert 10 <= found.loops <= 40
    assert found.values[0] >= 0.001


def test_a_fresh_case_is_set_up_and_compiled_for_each_value():
    compiled = []

    def setup():
        @jax.jit
        def double(x):
            compiled.append(x)
            return 2 * x

        x = jnp.ones(3)
        return lambda: double(x)

    case = Case("fresh", setup, fresh=True)
    (found,) = measure([case], Protocol(rounds=2, warmups=1))
    assert found.loops == 1
    # One first call by itself, one of the warm-up and one of each round.
    assert len(compiled) == 4
    assert 0 < found.compile < found.first_call


def test_a_first_call_compiles_what_an_earlier_case_has_compiled():
    traced = []

    @jax.jit
    def shared(x):
        traced.append(x)
        return x + 1

    def setup():
        x = jnp.ones(3)
        return lambda: shared(x)

    measure([Case("a", setup), Case("b", setup)], Protocol(rounds=1, warmups=0, shortest=1e-6))
    assert len(traced) >= 2


def test_peak_memory_is_that_of_the_call():
    held = []
    peak = peak_of(lambda: held.append(bytearray(50_000_000)))
    if peak is None:
        pytest.skip("the kernel does not report it")
    assert 49_000_000 < peak < 60_000_000

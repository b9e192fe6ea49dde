"""How much random input is tried: some, or, by `nox -s fuzz`, a great deal."""

from hypothesis import settings

settings.register_profile("thorough", max_examples=10_000)
settings.register_profile("some", max_examples=50)
settings.load_profile("some")

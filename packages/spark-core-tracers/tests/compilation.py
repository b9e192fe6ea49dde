"""Which programs JAX compiles while a test runs something."""

import contextlib

from jax import monitoring


@contextlib.contextmanager
def compiled():
    """A list that gets an entry for each program that is compiled, or loaded, within."""
    programs = []

    def listen(event, duration, **kwargs):
        if event.endswith("backend_compile_duration"):
            programs.append(event)

    monitoring.register_event_duration_secs_listener(listen)
    try:
        yield programs
    finally:
        monitoring.unregister_event_duration_listener(listen)

"""Ends its process in the middle of the work."""

import os

NAME = "dies"
DISTRIBUTIONS = ()


def current(spikes, kernel, *, tau, dt, dtype, keep):
    return lambda: os._exit(3)

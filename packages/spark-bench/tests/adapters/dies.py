"""Ends its process in the middle of the work."""

import os

NAME = "dies"
DISTRIBUTIONS = ()


def exponential(xs, *, tau, dt, dtype, keep):
    return lambda: os._exit(3)


current = exponential

"""Conformance: facts that follow from the equations, checked on any implementation."""

"""Connections, weights and delays drawn from counters, a line of inputs or targets at a time."""

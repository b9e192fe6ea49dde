"""Frozen, validated configurations that hold arrays and can be written to a file."""

"""Other simulators: each a file, run by the Python of an environment that has it."""

"""From spikes to what drives each target: a projection a file, over the arithmetic it needs."""

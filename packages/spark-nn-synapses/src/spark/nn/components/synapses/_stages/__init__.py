"""What happens on the way from spikes to currents, beside the sum over inputs: a stage a file."""

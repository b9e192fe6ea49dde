"""What travels between modules: spikes and currents."""

"""One file per implementation, each run by path in an environment of its own.

An adapter imports NumPy and the library that it adapts, nothing of spark-bench. It has `NAME`,
`DISTRIBUTIONS` whose versions are reported, `CONVENTION` where the library departs from the
equations, and one function per kind of work that the library can do:

- `exponential(xs, *, tau, dt, dtype, keep)`, `saturable(...)` alike,
- `double(xs, *, tau_1, tau_2, dt, dtype, keep)`,
- `plasticity(xs, *, R_tau, U_tau, scale_U, dt, dtype, keep)`: the release of each input,
- `current(spikes, kernel, *, tau, dt, dtype, keep)`: the trace of `kernel @ spikes`,
- `sparse(spikes, pre, post, weights, *, targets, tau, dt, dtype, keep)`: the same along
  connections, listed by input,
- `delayed(spikes, kernel, delays, *, tau, dt, dtype, keep)`: the same after a delay of each weight,
- `plastic(spikes, kernel, *, R_tau, U_tau, scale_U, tau, dt, dtype, keep)`: the same of the
  release of the inputs.

Inputs are NumPy arrays, time first. Each function sets up and returns a function without arguments
that starts from rest, takes all steps, waits for the end and returns the values after every step,
or after the last one where `keep` is `"last"`.
"""

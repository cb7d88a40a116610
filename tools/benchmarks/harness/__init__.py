"""Timing and memory measurement of the benchmarks. Import its modules by name."""

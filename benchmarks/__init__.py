"""Benchmarks: each prints a table and writes JSON with its command, its seed and the machine it ran on."""

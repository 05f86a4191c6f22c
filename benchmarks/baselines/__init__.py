"""What fraudstream is compared with: the same job done in the usual ways, and no job at all.

Each is a program of its own that takes where to work from the environment
(:mod:`benchmarks.baselines.place`), reads ``transactions``, writes ``scores`` and ends on SIGTERM, saying
how many it has answered.
"""

"""Chaos: a seeded schedule of faults under load, and a comparison with a run that nobody disturbed.

    python -m benchmarks.chaos [--faults 50] [--seed 7] [--json C.json]

Scorers and learners are processes of their own, on Apache Kafka and a real Redis. Whoever is killed is
started again, as a container's runtime would. It needs what ``tests/services/install.sh`` installs.
"""

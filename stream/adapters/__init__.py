"""Kafka, Redis, Prometheus and HTTP behind the ports, and their in-memory twins."""

"""The two roles of a worker: load, compute, commit, emit; without Kafka or Redis by name."""

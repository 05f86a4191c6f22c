"""Batches and state in, new state and effects out; no I/O."""

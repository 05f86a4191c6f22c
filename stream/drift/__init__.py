"""Detectors of change."""

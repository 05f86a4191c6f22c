"""Drift: how often the pipeline cries wolf, how soon it notices a change, and what a swap was worth."""

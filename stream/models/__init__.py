"""Recipes for River models, and the compiled forms that scorers run."""

"""How good a model is: prequential metrics and rankings."""

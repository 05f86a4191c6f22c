"""The stream itself: records, features, models, the pipeline and its adapters."""

__version__ = "0.1.0"

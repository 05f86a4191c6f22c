"""The report of a backtest: one HTML page that an analyst can read unaided."""

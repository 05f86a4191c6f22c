"""The backtest: production's code over recorded transactions, without Kafka and Redis."""

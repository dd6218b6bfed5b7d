"""A run's artifacts: their keys, the feed, the reports and the findings behind them."""

"""The artifacts of a run: keys, the feed, the reports, and the findings behind them."""

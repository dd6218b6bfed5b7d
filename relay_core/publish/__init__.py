"""What a run leaves: keys, the feed, the reports, and the findings that they are made of."""

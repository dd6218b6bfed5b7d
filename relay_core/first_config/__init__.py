"""A first config from vendors' files: drafts, the likeliest answers, comments, a trial."""

"""Every change of a run, of a feed, or of a tenant's closing."""

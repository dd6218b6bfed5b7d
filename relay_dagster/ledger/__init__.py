"""Every change of a run, a feed or a tenant's closing: the rules, applied to what is stored."""

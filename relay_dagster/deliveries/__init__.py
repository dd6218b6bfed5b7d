"""Rules of deliveries: the file that a tenant's server gets, and when it gets it."""

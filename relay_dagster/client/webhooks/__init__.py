"""Who is told of a tenant's runs and feeds, and what became of telling it."""

"""Words that every folder of the engine shares; they import the standard library alone."""

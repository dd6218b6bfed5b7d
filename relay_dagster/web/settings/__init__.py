"""The settings pages: forms that are made of the config's own schema."""

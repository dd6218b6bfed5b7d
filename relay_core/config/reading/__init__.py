"""The text of a config: from JSON or YAML to plain mappings, lists and scalars."""

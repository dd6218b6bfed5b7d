"""The check of a vendor's feed against its config, and the config changes it proposes."""

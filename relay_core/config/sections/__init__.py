"""The sections of a config that say more than their fields do."""

"""Commands about one tenant: its vendors' files, and how it stands."""

"""What webhooks are, and the rules of their life; no AWS, no network, no clock."""

"""From the queue to an attempt: what becomes of a message, and of a dead letter."""

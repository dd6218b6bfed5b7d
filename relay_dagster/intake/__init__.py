"""From the queue to an attempt, and the dead letters for their operators."""

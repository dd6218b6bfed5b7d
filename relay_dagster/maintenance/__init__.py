"""What dead processes and lost messages leave behind, and who settles it."""

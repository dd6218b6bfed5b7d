"""Work that is due: who takes it, how much of it at once, and what happens when it fails."""

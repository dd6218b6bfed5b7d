"""The check of a feed's sample: its layout and faults, and the config patch that mends them."""

"""The explanation of a SKU: its offers, the best of them, and the steps of its price."""

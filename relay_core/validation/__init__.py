"""Pandera: the contracts of rows, the gate that holds them, the error policy."""

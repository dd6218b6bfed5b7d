"""Runs replayed on this machine from their artifacts; nothing is stored."""

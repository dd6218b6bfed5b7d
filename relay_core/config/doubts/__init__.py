"""What is valid in a config and probably not meant; each doubt says what will happen."""

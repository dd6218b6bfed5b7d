"""A vendor's files to one list of rows: changes replace rows, and parts give columns."""

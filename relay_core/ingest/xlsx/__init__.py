"""Workbooks: the cells of one sheet as text columns."""

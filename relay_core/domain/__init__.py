"""Words that everybody shares: columns, codes, records, errors, the rule of one cell.

The standard library alone; every other folder of the engine may import from here.
"""

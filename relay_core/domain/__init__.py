"""Words that everybody shares: columns, codes, records, errors, limits, cell rules.

The standard library alone; every other folder of the engine may import from here.
"""

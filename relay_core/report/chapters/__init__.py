"""The chapters of a run's report, one module per subject.

A chapter makes its own numbers from the run's findings, and says them in its own words.
The modules load neither Arrow nor pandas.
"""

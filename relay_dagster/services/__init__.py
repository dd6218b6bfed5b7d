"""The services: what a caller may read and do, for the API and the pages alike.

A service is a plain function. It takes the call (its caller and the platform) and
values, returns values, and raises the errors that routes and pages translate. It knows
neither requests nor responses.
"""

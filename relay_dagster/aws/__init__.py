"""Adapts AWS to the program; boto3 is used in this package only."""

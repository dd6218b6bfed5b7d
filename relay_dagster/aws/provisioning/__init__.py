"""Defines the AWS resources that an installation needs, and creates them."""

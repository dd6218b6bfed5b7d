"""Stores runs, tenants, and what belongs to them in DynamoDB."""

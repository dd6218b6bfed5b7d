"""Records, tenants, keys and pauses in DynamoDB."""

"""Everything that speaks AWS: boto3 lives here alone."""

"""The adapters to AWS: boto3 is used here alone."""

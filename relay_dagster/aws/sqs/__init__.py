"""The queue of jobs and its dead letters in SQS."""

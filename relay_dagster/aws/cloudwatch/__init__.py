"""Metrics and alarms in CloudWatch."""

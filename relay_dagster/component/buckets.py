"""Buckets of S3, for inputs and folders there. Only this module of the component loads boto3."""

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.object_store import ObjectStore


def bucket(name: str) -> ObjectStore:
    """Return a bucket; boto3's own configuration gives credentials and region."""
    return ObjectStore(Clients(region=None), name)

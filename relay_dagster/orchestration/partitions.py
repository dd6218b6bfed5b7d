"""The one partitions definition: a partition is a tenant. The sensors add and remove its keys.

A leaf: assets and checks import it, and it imports nothing of ours.
"""

import dagster as dg

TENANT_PARTITIONS = "tenants"

tenant_partitions = dg.DynamicPartitionsDefinition(name=TENANT_PARTITIONS)

"""`MerchantFeedComponent`: a merchant's feed as assets of a Dagster project."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import dagster as dg

from relay_dagster.component.attributes import (
    AssetInput,
    InputAttribute,
    TenantPartitions,
    resolve_config,
    resolve_inputs,
    resolve_tags,
)
from relay_dagster.component.scaffolder import MerchantFeedScaffolder


@dg.scaffold_with(MerchantFeedScaffolder)
@dataclass
class MerchantFeedComponent(dg.Component, dg.Resolvable):
    """One merchant's feed: checked, merged, and priced from the files of many vendors.

    Scaffold it from sample files of the vendors:

    ``dg scaffold defs relay_dagster.MerchantFeedComponent shop --file a.csv --file b.xlsx``
    """

    config: Annotated[
        str | Mapping[str, Any],
        dg.Resolver(
            resolve_config,
            model_field_type=str | dict[str, Any],
            description="The tenant's config: the path of a file, relative to this folder, or "
            "the config itself.",
            examples=["tenant.yaml"],
            inject_before_resolve=False,
        ),
    ]
    folder: Annotated[
        str,
        dg.Resolver.default(
            description="The folder for the feed, its state, and its reports: a path, relative "
            "to this folder, or s3://bucket/prefix.",
            examples=["s3://feeds/shop"],
        ),
    ]
    inputs: Annotated[
        Mapping[str, InputAttribute],
        dg.Resolver(
            resolve_inputs,
            model_field_type=dict[str, str | AssetInput],
            description="The files of each vendor, by its ID: a path, whose last part may have * "
            "and ?; s3://bucket/prefix/, whose newest object is read; or {asset: key}.",
            examples=[
                {"acme": "acme/*.csv", "globex": {"asset": "raw/globex"}}
            ],
        ),
    ] = field(default_factory=dict)
    key_prefix: Annotated[
        str | list[str] | None,
        dg.Resolver.default(
            description="The prefix of the keys of the assets.",
            examples=["shop"],
        ),
    ] = None
    partitions: Annotated[
        TenantPartitions | None,
        dg.Resolver.default(
            model_field_type=TenantPartitions | None,
            description="One partition a tenant. The config and the folder, and inputs that "
            "differ, then have {tenant} in them.",
            examples=[{"tenants": ["north", "south"]}],
        ),
    ] = None
    automation: Annotated[
        dg.AutomationCondition | None,
        dg.Resolver.default(
            model_field_type=str | None,
            description="The condition under which Dagster materializes the assets.",
            examples=["{{ dg.AutomationCondition.eager() }}"],
        ),
    ] = None
    owners: Annotated[
        list[str] | None,
        dg.Resolver.default(
            description="The owners of the assets: email addresses, or team:name.",
            examples=[["team:catalog"]],
        ),
    ] = None
    tags: Annotated[
        Mapping[str, str],
        dg.Resolver(
            resolve_tags,
            model_field_type=dict[str, str | int | float | bool],
            description="The tags of the assets.",
        ),
    ] = field(default_factory=dict)
    group_name: Annotated[
        str | None,
        dg.Resolver.default(description="The group of the assets."),
    ] = None

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """Return the description of the component in ``dg list components``."""
        return dg.ComponentTypeSpec(
            description="One merchant's feed, checked, merged, and priced from many vendors' "
            "files.",
            produces=["asset", "asset_check"],
        )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the assets of the vendors, of the candidate, and of the feed.

        Raises:
            DagsterInvalidDefinitionError: The config or an attribute has errors.
        """
        # Commands that only list components do not wait for Arrow.
        from relay_dagster.component.assets import Looks, feed_assets
        from relay_dagster.component.tenants import (
            Attributes,
            YamlSource,
            load_tenants,
        )

        path = context.path
        attributes = Attributes(
            config=self.config,
            folder=self.folder,
            inputs=self.inputs,
            tenants=None
            if self.partitions is None
            else self.partitions.tenants,
            base=path if path.is_dir() else path.parent,
            source=YamlSource.of(context),
        )
        prefix = self.key_prefix or []
        looks = Looks(
            prefix=[prefix] if isinstance(prefix, str) else prefix,
            automation=self.automation,
            owners=self.owners,
            tags=self.tags,
            group_name=self.group_name,
        )
        tenants = load_tenants(attributes)
        return dg.Definitions(assets=feed_assets(tenants, looks))

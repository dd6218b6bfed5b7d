"""The tree of the `relay` commands: each command's name, module, and line in the help.

Loading all commands takes a second, so the lists of commands show the lines of this tree.
"""

from __future__ import annotations

from typing import NamedTuple


class Leaf(NamedTuple):
    """A command, or a module's own group of commands, that is loaded when it is called.

    Attributes:
        name: The name of the command.
        module: The module below `relay_dagster`.
        help: The line in the list of commands.
        panel: The title of the command's part of the list.
        group: The variable with the module's group, if the leaf is the whole group.
            A single command is in the group `commands` of its module.
    """

    name: str
    module: str
    help: str
    panel: str = ""
    group: str = ""


class Branch(NamedTuple):
    """A group of commands from several modules.

    Attributes:
        name: The name of the group.
        help: The line in the list of commands.
        entries: The commands of the group.
        panel: The title of the group's part of the list.
        default: The command that a line without a command calls, because it had the name
            of the group earlier.
        takes_argument: True if the default command takes an argument.
    """

    name: str
    help: str
    entries: tuple[Leaf | Branch, ...]
    panel: str = ""
    default: str = ""
    takes_argument: bool = False


_START = "Start"
_FEEDS = "Runs and feeds"
_SETTINGS = "Settings"
_OPERATION = "Operation"
_PROCESSES = "Processes"
_MAINTENANCE = "Setup and maintenance"
_TRIAL = "Try it on this machine"

RUNS = Branch(
    "runs",
    "List, explain, cancel, and verify runs.",
    (
        Leaf("list", "client.commands.runs", "List runs, newest first."),
        Leaf(
            "show",
            "client.commands.runs",
            "Show a run: its status, counts, and artifacts.",
        ),
        Leaf(
            "errors",
            "client.commands.run_errors",
            "Show the errors of a run: each cause once, with its count, samples, and fix.",
        ),
        Leaf(
            "explain",
            "client.commands.skus",
            "Explain a SKU in a run's feed: each step of its price, and all offers.",
        ),
        Leaf(
            "artifacts",
            "client.commands.feeds",
            "List the artifacts of a run, or download one of them.",
        ),
        Leaf(
            "accept",
            "client.commands.skus",
            "Accept prices that a run put into quarantine. The next run publishes them.",
        ),
        Leaf("cancel", "client.commands.runs", "Cancel a run."),
        Leaf(
            "verify",
            "replay.verify",
            "Verify a run: replay it with this engine, and compare the files.",
        ),
    ),
    panel=_FEEDS,
    default="list",
)

FEED = Branch(
    "feed",
    "Download, release, roll back, link, and deliver a tenant's feed.",
    (
        Leaf(
            "get",
            "client.commands.feeds",
            "Download the live feed, or the file of one of its channels.",
        ),
        Leaf(
            "release",
            "client.commands.holds",
            "Release a feed that is on hold: publish it.",
        ),
        Leaf(
            "rollback",
            "client.commands.holds",
            "Publish the feed of one of a tenant's earlier runs again.",
        ),
        Leaf(
            "links",
            "client.commands.feeds",
            "Create, list, and revoke links to a tenant's feed for programs that take a "
            "plain URL.",
            group="feed_links",
        ),
        Leaf(
            "deliveries",
            "client.commands.deliveries",
            "List a tenant's deliveries, and send the live feed to one of its servers.",
            group="deliveries",
        ),
    ),
    panel=_FEEDS,
    default="get",
    takes_argument=True,
)

VENDORS = Branch(
    "vendors",
    "Upload a vendor's file, or pull it now.",
    (
        Leaf(
            "upload",
            "client.commands.uploads",
            "Upload a vendor's file and print its key.",
        ),
        Leaf("pull", "client.commands.uploads", "Pull a vendor's file now."),
    ),
    panel=_FEEDS,
)

CONFIG = Branch(
    "config",
    "Validate, rehearse, and store tenant configs, SKU overrides, and secrets.",
    (
        Leaf(
            "check",
            "client.commands.configs",
            "Validate a config, and try it on the vendors' latest files.",
        ),
        Leaf(
            "rehearse",
            "replay.rehearse",
            "Try a config on earlier runs: show the changes of their feeds, and the "
            "guards' results.",
        ),
        Leaf(
            "put",
            "client.commands.configs",
            "Store a config as the tenant's new version, and print the version.",
        ),
        Leaf(
            "get",
            "client.commands.configs",
            "Print a config as JSON, as it takes effect.",
        ),
        Leaf(
            "overrides",
            "client.commands.overrides",
            "List, set, and remove SKU overrides: a price, a minimum price, a maximum "
            "quantity, a vendor, or no offer at all.",
            group="overrides",
        ),
        Leaf(
            "secrets",
            "client.commands.uploads",
            "Store, list, and delete the secrets for servers of vendors and shops.",
            group="secrets",
        ),
    ),
    panel=_SETTINGS,
)

TENANTS = Branch(
    "tenants",
    "Create, inspect, pause, and delete tenants.",
    (
        Leaf(
            "list",
            "client.commands.tenants",
            "List all tenants with their config, live feed, and last run.",
        ),
        Leaf(
            "status",
            "client.commands.tenants",
            "Show a tenant's live feed, runs, and vendors.",
        ),
        Leaf(
            "new",
            "client.commands.tenants",
            "Create a tenant without vendors, and print the page's address and a key for "
            "it.",
        ),
        Leaf(
            "pause",
            "client.commands.pauses",
            "Pause the creation of runs, for one tenant or for all tenants.",
        ),
        Leaf(
            "resume",
            "client.commands.pauses",
            "Resume the creation of runs, for one tenant or for all tenants.",
        ),
        Leaf(
            "audit",
            "client.commands.access",
            "Show the audit log of the last 400 days, newest entries first.",
        ),
        Leaf(
            "delete",
            "client.commands.tenants",
            "Delete a tenant with all its data. It can be restored for some days.",
        ),
        Leaf(
            "restore",
            "client.commands.tenants",
            "Restore a deleted tenant, with its keys and triggers.",
        ),
    ),
    panel=_SETTINGS,
    default="list",
)

SERVER = Branch(
    "server",
    "Set up, run, and maintain an installation of Relay.",
    (
        Leaf(
            "bootstrap",
            "server_commands",
            "Create missing AWS resources, and print `export NAME=value` lines for them.",
            panel=_MAINTENANCE,
        ),
        Leaf(
            "doctor",
            "server_commands",
            "Check the invariants of all stored data, without changing anything.",
            panel=_MAINTENANCE,
        ),
        Leaf(
            "dlq",
            "server_commands",
            "List, redrive, and discard the messages in the dead-letter queue.",
            panel=_MAINTENANCE,
            group="dlq",
        ),
        Leaf(
            "recover",
            "server_commands",
            "Complete a restoration of tables: pause all tenants, repeat deletions, and "
            "end open runs.",
            panel=_MAINTENANCE,
        ),
        Leaf(
            "api",
            "server_commands",
            "Serve the HTTP API until a signal stops it.",
            panel=_PROCESSES,
        ),
        Leaf(
            "code",
            "server_commands",
            "Serve the sensors and assets to Dagster, and start runs, until a signal "
            "stops it.",
            panel=_PROCESSES,
        ),
        Leaf(
            "ui",
            "server_commands",
            "Serve Dagster's pages behind a guard against other sites, until a signal "
            "stops it.",
            panel=_PROCESSES,
        ),
        Leaf(
            "transfers",
            "server_commands",
            "Pull vendors' files that are due, in place of the code server, until a "
            "signal stops it.",
            panel=_PROCESSES,
        ),
        Leaf(
            "deletions",
            "server_commands",
            "Remove tenants whose deletion is due, instead of the code server.",
            panel=_PROCESSES,
        ),
        Leaf(
            "demo",
            "server_commands",
            "Run the sample tenant end to end on embedded AWS, and then stop everything.",
            panel=_TRIAL,
        ),
        Leaf(
            "dev",
            "server_commands",
            "Start the stack of the demo with the sample tenant, and run it until Ctrl-C.",
            panel=_TRIAL,
        ),
    ),
    panel=_OPERATION,
)

TREE = (
    Leaf(
        "new",
        "local.new",
        "Write a first config from vendors' files, and print the command that runs it.",
        panel=_START,
    ),
    Leaf(
        "local",
        "local.entry",
        "Run or check a config over files of this machine, without a server.",
        panel=_START,
    ),
    Leaf(
        "run",
        "client.commands.runs",
        "Start a run and print its ID.",
        panel=_FEEDS,
    ),
    RUNS,
    FEED,
    VENDORS,
    CONFIG,
    TENANTS,
    Leaf(
        "keys",
        "client.commands.access",
        "Create, list, and delete the API keys of a tenant.",
        panel=_SETTINGS,
        group="keys",
    ),
    Leaf(
        "webhooks",
        "client.commands.webhooks",
        "Manage the webhooks that notify your endpoints of runs and feeds.",
        panel=_SETTINGS,
        group="webhooks",
    ),
    SERVER,
)
"""The commands that `relay --help` lists, the most used first."""

OLD_NAMES = {
    "show": "runs show",
    "errors": "runs errors",
    "explain": "runs explain",
    "artifacts": "runs artifacts",
    "accept": "runs accept",
    "cancel": "runs cancel",
    "verify": "runs verify",
    "release": "feed release",
    "rollback": "feed rollback",
    "feed-links": "feed links",
    "deliveries": "feed deliveries",
    "upload": "vendors upload",
    "pull": "vendors pull",
    "rehearse": "config rehearse",
    "overrides": "config overrides",
    "secrets": "config secrets",
    "tenant": "tenants",
    "pause": "tenants pause",
    "resume": "tenants resume",
    "audit": "tenants audit",
    "bootstrap": "server bootstrap",
    "doctor": "server doctor",
    "dlq": "server dlq",
    "recover": "server recover",
    "api": "server api",
    "code": "server code",
    "ui": "server ui",
    "transfers": "server transfers",
    "deletions": "server deletions",
    "demo": "server demo",
    "dev": "server dev",
}
"""The commands by their earlier names, which work for one release without being listed."""

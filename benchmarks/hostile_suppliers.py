"""A process of suppliers' servers that do their worst, for `make bench-pulls`.

It prints a line of JSON with each server's pull, and serves until its input ends. The servers are
those of the tests.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

# The tests' servers are found beside the benchmarks.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support.hostile_servers import (  # found by the path above
    BANNERS_AND_PACKETS,
    HTTP_FLOODS,
    SFTP_FLOODS,
    SFTP_GARBAGE,
    dripping_file,
)
from support.pulls_world import (  # found by the path above
    file_server,
)
from support.receivers import listening  # found by the path above
from support.sftp_servers import (  # found by the path above
    PASSWORD,
    SftpServer,
    sftp_server,
)

# It keeps the window and sends nothing more, so it ends by its pace alone.
_SLOW_FLOOD = "error output without an end"
Pulls = dict[str, dict[str, str]]


def main() -> None:
    """Start all servers, print their pulls, and serve until the input ends."""
    over = threading.Event()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        drip = stack.enter_context(
            file_server(dripping_file(0.1, over), host="0.0.0.0")  # noqa: S104 - all of loopback
        )
        pulls = {
            "floods": _floods(stack, folder),
            "garbage": _garbage(stack, folder),
            "drip": {"port": str(drip.port)},
        }
        print(json.dumps(pulls), flush=True)
        sys.stdin.read()
        over.set()


def _floods(stack: ExitStack, folder: Path) -> Pulls:
    pulls: Pulls = {}
    for name, flood in HTTP_FLOODS.items():
        server = stack.enter_context(file_server(flood))
        pulls[name] = {"url": server.url()}
    for name, behave in BANNERS_AND_PACKETS.items():
        ssh = stack.enter_context(sftp_server(folder))
        ssh.port = stack.enter_context(listening(behave))
        pulls[f"{name}, before the login"] = _sftp_pull(ssh)
    for name, garble in SFTP_FLOODS.items():
        if name != _SLOW_FLOOD:
            ssh = stack.enter_context(sftp_server(folder, garble=garble))
            pulls[f"{name}, after the login"] = _sftp_pull(ssh)
    return pulls


def _garbage(stack: ExitStack, folder: Path) -> Pulls:
    pulls: Pulls = {}
    for name, garble in SFTP_GARBAGE.items():
        server = stack.enter_context(sftp_server(folder, garble=garble))
        pulls[name] = _sftp_pull(server)
    return pulls


def _sftp_pull(server: SftpServer) -> dict[str, str]:
    return {
        "url": server.url(),
        "host_key": server.host_line,
        "password": PASSWORD,
    }


if __name__ == "__main__":
    main()

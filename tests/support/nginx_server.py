"""Debian's nginx on this machine, with files of a test's: it answers as the field's servers do."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from integration.waiting import wait_for
from relay_dagster.devstack.processes import free_port, port_answers


@dataclass
class Nginx:
    """A running server of the files under ``files``."""

    home: Path
    port: int
    scheme: str
    process: subprocess.Popen[bytes]

    def url(self, target: str = "/feed.csv") -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{target}"

    def put(self, name: str, body: bytes, mtime: float = 1_700_000_000) -> Path:
        path = self.home / "files" / name
        path.write_bytes(body)
        os.utime(path, (mtime, mtime))
        return path

    def log(self) -> list[str]:
        """Return status, bytes and packing of each answer."""
        return (self.home / "log").read_text().splitlines()


@contextmanager
def nginx(
    home: Path,
    settings: str = "",
    *,
    certificate: trustme.LeafCert | None = None,
) -> Iterator[Nginx]:
    """Run a server in an empty folder; ``settings`` are more lines of its section ``server``."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None, "this test needs Debian's nginx"
    port = free_port()
    tls = ""
    if certificate is not None:
        certificate.private_key_and_cert_chain_pem.write_to_path(
            str(home / "tls.pem")
        )
        tls = f"ssl_certificate {home}/tls.pem; ssl_certificate_key {home}/tls.pem;"
    (home / "files").mkdir()
    places = "".join(
        f"{part}_temp_path {home}/{part};"
        for part in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (home / "nginx.conf").write_text(
        f"user root; daemon off; pid {home}/pid; error_log {home}/errors; events {{}}\n"
        f"http {{ {places} types {{ text/csv csv; text/html html; }}\n"
        "log_format short '$status $body_bytes_sent $sent_http_content_encoding';\n"
        f"access_log {home}/log short;\n"
        f"server {{ listen 127.0.0.1:{port} {'ssl' if tls else ''}; {tls}\n"
        f"root {home}/files; {settings} }} }}\n"
    )
    command = [
        program,
        "-e",
        str(home / "errors"),
        "-c",
        str(home / "nginx.conf"),
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:

            def answers() -> bool:
                assert process.poll() is None, (home / "errors").read_text()
                return port_answers("127.0.0.1", port)

            wait_for("an answer of nginx", answers, within=30)
            yield Nginx(home, port, "https" if tls else "http", process)
        finally:
            process.terminate()

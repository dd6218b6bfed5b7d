"""The `relay` command; a local run starts without loading all other commands."""

import sys

_HELP = "--help"


def main() -> None:
    """Run the command line."""
    words = sys.argv[1:]
    if words[:1] == ["local"]:
        from relay_dagster.local.process import prepare, run_process

        if _HELP not in words:
            run_process(words[1:], "relay local")
        prepare()
    from relay_dagster.cli import main as run_command

    run_command()


if __name__ == "__main__":
    main()

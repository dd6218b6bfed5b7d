"""What one command takes, as one line of JSON: ``python -m benchmarks.timed_process COMMAND...``.

The system counts as a process's peak memory what its parent held when it started it, too: this one
loads nothing. Of what the command prints, a last line that is a JSON object is taken over.
"""

import json
import resource
import subprocess
import sys
import time


def main(command: list[str]) -> int:
    """Run the command and print what it took, its children included; return its exit status."""
    started = time.perf_counter()
    process = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    wall_s = time.perf_counter() - started
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    last = b"".join(process.stdout.splitlines()[-1:])
    figures = {
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "wall_s": wall_s,
        "peak_mib": usage.ru_maxrss / 1024,
        **(json.loads(last) if last.startswith(b"{") else {}),
    }
    print(json.dumps(figures))
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

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
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    wall_s = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    last = b"".join(done.stdout.splitlines()[-1:])
    taken = {
        "cpu_s": used.ru_utime + used.ru_stime,
        "wall_s": wall_s,
        "peak_mib": used.ru_maxrss / 1024,
        **(json.loads(last) if last.startswith(b"{") else {}),
    }
    print(json.dumps(taken))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""How long `python benchmarks/start_time.py` finds `dpgen --help` to take, as a whole process. Goal: under 0.5 s.

On a busy machine look at the processor time: the wall clock then measures the others.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time

RUNS = 9
COMMAND = [sys.executable, "-c", "import sys; sys.argv = ['dpgen', '--help']; from dpgen.cli import main; main()"]


def main() -> None:
    wall, processor = [], []
    for _ in range(RUNS):
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(COMMAND, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall.append(time.perf_counter() - start)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    for name, seconds in (("wall clock", wall), ("processor", processor)):
        print(f"dpgen --help, {name}: minimum {min(seconds):.2f} s, median {statistics.median(seconds):.2f} s")


if __name__ == "__main__":
    main()

"""How long `dpgen --help` takes, as a whole process: minimum and median of several runs. Goal: under 0.5 s.

python benchmarks/start_time.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 9
COMMAND = [sys.executable, "-c", "import sys; sys.argv = ['dpgen', '--help']; from dpgen.cli import main; main()"]


def main() -> None:
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run(COMMAND, check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    print(f"dpgen --help: minimum {min(seconds):.2f} s, median {statistics.median(seconds):.2f} s of {RUNS} runs")


if __name__ == "__main__":
    main()

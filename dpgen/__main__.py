"""`python -m dpgen` is `dpgen`; so `torchrun -m dpgen run config.toml` starts a run on several devices."""

from dpgen.cli import main

main()

"""The command line: parse, call, print. Nothing here decides anything about privacy."""

from dpgen.cli.app import main

__all__ = ["main"]

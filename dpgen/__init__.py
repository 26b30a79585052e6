"""Differentially private synthetic images. Importing this loads no deep-learning library and no plugin."""

__version__ = "0.1.0"

"""The shipped test kit: record and replay for everything that claims a sensitivity."""

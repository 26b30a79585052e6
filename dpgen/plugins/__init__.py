"""The plugin door: first party and third parties come in by the same hooks."""

"""Scores of synthetic images, and the honest rules around them: a score that read private images is not released."""

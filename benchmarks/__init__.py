"""Programs that print the numbers stated in the documentation, and the records they were taken from."""

"""What the methods of DPImageBench claim, and what the code that made the published numbers spends."""

"""The results as pages to read."""

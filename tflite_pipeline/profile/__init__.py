"""What the file costs to run on this host."""

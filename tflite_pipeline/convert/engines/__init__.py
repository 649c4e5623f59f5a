"""One file for each quantizer that can be driven."""

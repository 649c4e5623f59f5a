"""YAML text in, a checked recipe or all of its mistakes out."""

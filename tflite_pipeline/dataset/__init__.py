"""Where the samples come from, one file a source, and how they are preprocessed."""

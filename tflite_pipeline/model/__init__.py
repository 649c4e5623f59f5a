"""Where the model comes from: one file a source."""

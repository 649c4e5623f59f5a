"""A model, and data if there are any, in; a commented recipe that runs out."""

"""The runtimes a recipe can name, and the checks that a file runs there."""

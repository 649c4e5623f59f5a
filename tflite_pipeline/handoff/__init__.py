"""What the receiver of the file gets beside it."""

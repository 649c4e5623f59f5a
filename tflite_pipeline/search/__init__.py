"""Many runs of one recipe, and what they tell side by side."""

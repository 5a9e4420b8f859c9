"""The vocabulary: what users write, what facts are, what a verdict is. Imports nothing else of ours."""

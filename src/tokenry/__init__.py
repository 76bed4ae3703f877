"""tokenry: the published ways to spend fewer tokens, compared on your model and your data."""

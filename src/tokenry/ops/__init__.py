"""Pure tensor rules that methods share."""

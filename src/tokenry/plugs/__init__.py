"""The only code that touches other libraries' models."""

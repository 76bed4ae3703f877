"""Search by tokens: scorers, training objectives, makers of pairs, and measures."""

__all__: list[str] = []

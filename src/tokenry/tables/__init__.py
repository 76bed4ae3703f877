"""Tables in, links out: the engine under all linkers."""

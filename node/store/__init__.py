"""The index: what the node remembers off chain. This room alone sees peewee."""

"""VTrace: a blockchain-anchored traceability node."""

__version__ = "0.1.0"

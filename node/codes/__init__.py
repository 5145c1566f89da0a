"""Codes that a phone reads, and the labels that carry them."""

"""Circs as events of EPCIS 2.0, and events as circs. Pure rules."""

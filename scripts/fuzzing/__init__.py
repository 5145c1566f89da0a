"""What scripts/fuzz does: requests made from the protocol's descriptors, and frames that were changed on their way."""

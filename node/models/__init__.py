"""The models that recognise materials. This room alone sees the model runtimes."""

"""The rules of VTrace: pure functions over plain values, without I/O and without outside libraries."""

"""The way of a record, in the order in which data moves: record, submit, confirm, query, audit."""

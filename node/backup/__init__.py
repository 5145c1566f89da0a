"""A copy of a whole node in one encrypted file, made beside the running node, and a data directory made from it.

The file is a tar archive in the age format with a passphrase, so `age -d FILE | tar x` opens it without this program.
Its members, in this order: `manifest.json`, `index.sqlite3` (or `index.pgdump`), `chain.sqlite3` of an embedded chain,
`master.key` if the data directory has it, `files/…`.
"""

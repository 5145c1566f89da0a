"""The content of files: kept under its CID, in the data directory or by an IPFS daemon. Alone sees IPFS."""

"""The ledger: the contract's encoding, signing, JSON-RPC and the embedded chain."""

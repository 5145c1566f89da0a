"""What the node tells of itself to operators' tools: figures, traces and logs."""

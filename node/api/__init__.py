"""The gRPC face of the node. This room alone sees protobuf."""

"""The file against its reference: metrics, parity, audit, gates."""

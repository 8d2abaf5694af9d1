"""What a node says: CBOR, SenML, COSE, readings, frames. MicroPython subset, no I/O."""

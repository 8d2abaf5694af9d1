"""The sensor node: measures, signs, stores and forwards."""

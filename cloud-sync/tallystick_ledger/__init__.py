"""The log that nobody can rewrite: submit, sequence, publish, prove."""

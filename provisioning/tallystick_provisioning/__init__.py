"""How nodes and keys get their identities."""

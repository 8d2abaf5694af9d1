"""What both ends of a sync share: trees, notes, keys, statements, bundles. No I/O."""

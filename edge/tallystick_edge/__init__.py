"""The gateway: takes readings from links, keeps them in its log, acknowledges, syncs."""

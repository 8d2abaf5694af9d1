"""The one app: composes the routes of ledger and finance and serves them."""

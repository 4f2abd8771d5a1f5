"""The ledger: changes of the metadata, done inside turns; each is rows and events of one transaction."""

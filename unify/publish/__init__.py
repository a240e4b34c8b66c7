"""A version for others: folders, metadata, a Hub repository."""

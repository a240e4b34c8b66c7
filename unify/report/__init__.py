"""Pictures of versions."""

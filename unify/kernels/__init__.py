"""Compiled loops: PNG, deflate, pooled labels."""

"""The papers' tables, recomputed, beside what was measured here."""

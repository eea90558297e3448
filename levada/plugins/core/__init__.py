"""The types that every installation has: `core.*`, one file per family."""

"""Drawn sets, in the layouts of real ones, whose truth is known."""

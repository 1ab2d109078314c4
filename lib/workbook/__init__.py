"""Notebooks as a machine runs them: their parameters, a plan, and one process for each."""

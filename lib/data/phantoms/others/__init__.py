"""Drawn sets to train starting weights on: in the layouts of those that are tested on, with nobody and nothing of theirs."""

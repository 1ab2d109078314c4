"""Explanations: images in, maps out."""

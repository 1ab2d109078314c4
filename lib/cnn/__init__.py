"""Convolutional networks: small ones of the workbook, and where any is cut."""

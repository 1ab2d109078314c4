"""The runs of a study as the paper's tables, comparisons and criteria."""

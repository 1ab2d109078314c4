"""Pages of the report: an executed notebook, a study, the index."""

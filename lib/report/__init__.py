"""What a reader gets: statistics, tables, figures and pages."""

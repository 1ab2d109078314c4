"""What may be said about a number: estimates, intervals, resampling, tests."""

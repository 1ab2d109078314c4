"""Search by embedding: distances, ranking under the Market-1501 protocol, re-ranking. Knows no model."""

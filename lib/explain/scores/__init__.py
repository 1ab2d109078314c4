"""What an explanation is worth: faithfulness, truth, robustness, and the leaderboard of all."""

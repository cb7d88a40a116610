"""Self-contained HTML reports of a detector's results."""

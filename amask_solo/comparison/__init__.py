"""Stock against masked methods at an equal budget: plan, carry out, report."""

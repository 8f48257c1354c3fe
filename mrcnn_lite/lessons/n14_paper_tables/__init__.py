"""Notebook 14: the paper's tables in miniature. `data/experiments/plan.json` was written first."""

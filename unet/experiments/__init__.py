"""Recipes × splits × seeds → trained runs → scores: fit, folds, leave-one-domain-out, ablation."""

"""Training: data, objective, loop, evaluation and export of AAHR checkpoints."""

"""Training K hypotheses: the learner, its Trainer, batches, checkpoints and saving a bundle."""

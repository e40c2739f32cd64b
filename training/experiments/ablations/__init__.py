"""Experiments on the method: the sampled step, unequal modes, surplus hypotheses, winners without dropout noise."""

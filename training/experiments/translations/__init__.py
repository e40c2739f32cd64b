"""Software messages translated by people, as a mixture of languages."""

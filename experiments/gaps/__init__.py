"""How far each learner ends from the optimum: ``python -m experiments.gaps``, or ``make gaps``."""

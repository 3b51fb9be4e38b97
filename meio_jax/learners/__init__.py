"""Learners: each a pure, jitted training program under one contract, ``init_train`` and ``train_chunk``.

Static configuration is frozen and hashable; hyper-parameters are a pytree of numbers; the train state holds everything
that a resumed run needs to be bitwise the run that was never stopped.
"""

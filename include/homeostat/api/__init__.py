"""The public functions and classes; :mod:`homeostat` exports them, and only they are stable."""

"""Beside the answers: the ledger followed, versions loaded, shadows fed, candidates and champions judged."""

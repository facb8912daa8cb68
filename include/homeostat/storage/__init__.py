"""Formats on the Store: prediction log, labels, snapshots, bundles, step results, trigger messages."""

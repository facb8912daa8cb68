"""Formats on the Store: prediction log, labels, snapshots, bundles, trigger messages."""

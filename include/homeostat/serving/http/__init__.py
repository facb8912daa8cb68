"""The gateway's HTTP interface: scoring, labels, control and status."""

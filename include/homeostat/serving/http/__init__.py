"""HTTP: scoring in every protocol, the control API, and the page."""

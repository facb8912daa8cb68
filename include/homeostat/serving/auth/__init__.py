"""Who may do what at the gateway's door, how much of it, and what is kept of who did."""

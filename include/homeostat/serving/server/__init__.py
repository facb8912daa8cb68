"""Processes, sockets and signals: one worker or several behind one address, spoken for as one gateway."""

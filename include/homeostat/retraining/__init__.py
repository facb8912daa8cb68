"""The steps of one retrain: assemble, train, validate, gate, register."""

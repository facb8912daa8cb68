"""What a cell of text is: the one definition of numbers, dates and missing values, for every command."""

"""Tables and queries of engines, through Ibis: an engine counts its rows, and only counts come back.

Columns are typed: what an engine calls text is text. The local reader (:mod:`homeostat.adapters.tables`)
reads the files of people, in which numbers may be words.
"""

"""The JSON shapes of Kestra's API, made from our model. Pure functions: no I/O, `now` is an argument.

Absent values are left out, never sent as null: clients written in Go take a null for a broken answer. Labels are arrays of
key and value, dates RFC 3339 in UTC with Z, durations ISO 8601, type names full.
"""

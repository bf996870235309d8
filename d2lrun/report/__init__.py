"""The output for people: progress, tables, curves, pictures and pages."""

"""The journal, the only state of a search: its records, its one writer, its readers."""

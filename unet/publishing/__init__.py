"""What is published: model cards, tables, README results, Spaces."""

"""Publishing: model cards, results, Spaces."""

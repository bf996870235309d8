"""One run: build what the config names, train it, write the result; K folds, inference, cost."""

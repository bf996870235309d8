"""Classification of labelled images."""

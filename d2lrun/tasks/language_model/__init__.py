"""Language models of texts: predict the next token."""

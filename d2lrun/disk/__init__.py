"""Everything on disk: files, downloads, run directories, checkpoints, weights."""

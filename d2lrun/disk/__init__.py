"""What lies on disk: files, downloads, run directories, checkpoints, weights."""

"""Training that can stop and go on."""

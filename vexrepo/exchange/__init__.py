"""What can be done with vmig files and live stores without a repository: move, look, check, sign, verify."""

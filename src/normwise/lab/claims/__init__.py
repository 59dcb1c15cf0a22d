"""The claims, one file each; the file's name is the claim's, with underscores."""

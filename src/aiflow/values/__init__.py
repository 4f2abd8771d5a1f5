"""Values on their way to a file, a row or another process: the codec, and blobs for the large ones.

Knows nothing of what a value is for.
"""

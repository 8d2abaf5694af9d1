"""A day of tags: jobs, keys, the hands-free loop, statements, labels and the closing sheet."""

"""Networks of the offline analyses, float and trained on a GPU, how they are trained, and how well they do."""

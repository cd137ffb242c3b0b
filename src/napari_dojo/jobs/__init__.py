"""Long work in a child process: jobs, their folders, autosaved work, and runs as scripts."""

__all__ = [
    "autosave",
    "claims",
    "image_requests",
    "job",
    "requests",
    "runs",
    "scripts",
    "train_requests",
]

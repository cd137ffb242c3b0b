"""Long work in a child process: jobs, their folders, autosaved work, and runs told again as scripts."""

__all__ = [
    "autosave",
    "job",
    "runs",
    "scripts",
]

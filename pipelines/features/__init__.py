"""Features of a frozen backbone: computed once, kept on disk, shared by every job."""

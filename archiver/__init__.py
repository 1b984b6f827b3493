"""Fragments become clips: MP4s in the object store that no restart can overwrite or lose."""

"""The image: its Dockerfile, and what runs in it beside the stages."""

"""Deployment of the page as a Hugging Face Space."""

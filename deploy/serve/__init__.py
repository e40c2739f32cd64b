"""The page in front of several replicas of the models, by Ray Serve: ``python -m deploy.serve``."""
